"""One self-contained page: what was found in a frame, and how good it is where the truth is known."""

from crisp.output.report.comparison import Comparison, compare
from crisp.output.report.page import ObjectTruth, Origin, origin_of, write_report

__all__ = ["Comparison", "ObjectTruth", "Origin", "compare", "origin_of", "write_report"]
