"""Reports: views of the records, for people. One HTML file, the same as Markdown, and the plots."""

from benchmarks.report.page import write_report
from benchmarks.report.pictures import contact_sheet
from benchmarks.report.queried import QueriedImages

__all__ = ["QueriedImages", "contact_sheet", "write_report"]
