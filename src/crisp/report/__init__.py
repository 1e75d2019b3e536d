"""One self-contained page: what was found in a frame, and how good it is where the truth is known."""

from crisp.report.page import ObjectTruth, Origin, write_report

__all__ = ["ObjectTruth", "Origin", "write_report"]
