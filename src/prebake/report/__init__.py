"""The report of a run: one HTML page that needs nothing but itself. It reads run folders only."""

from prebake.report.page import write_report

__all__ = ["write_report"]
