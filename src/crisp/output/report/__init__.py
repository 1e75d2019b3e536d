"""One self-contained page: what was found in a frame, and how good it is where the truth is known."""

from crisp.output.report.comparison import Comparison, compare, network_alone
from crisp.output.report.page import Origin, origin_of, write_report
from crisp.output.sink import ObjectTruth

__all__ = ["Comparison", "ObjectTruth", "Origin", "compare", "network_alone", "origin_of", "write_report"]
