"""Reports: views of the records, for people. One HTML file, the same as Markdown, and the plots."""

from benchmarks.report.page import write_report
from benchmarks.report.pictures import contact_sheet
from benchmarks.report.queried import QueriedImages
from benchmarks.report.splits import Readings

__all__ = ["QueriedImages", "Readings", "contact_sheet", "write_report"]
