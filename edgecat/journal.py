"""The records of a run as they grow: in memory for the stages that follow, on disk before anything else happens."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from benchmarks import records
from benchmarks.records import Record
from benchmarks.report import write_report
from benchmarks.summary import Summary, summarise
from edgecat.directory import RunDirectory
from edgecat.stages.data import contact_sheet
from edgecat.stages.queried import load_queried
from edgecat.stages.readings import load_readings
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset

_Kind = TypeVar("_Kind", bound=BaseModel)


class Journal:
    """The records of one run directory, those of earlier walks first."""

    def __init__(self, directory: RunDirectory, progress: Progress = SILENT) -> None:
        self.directory = directory
        self.run_id = directory.run_id
        self.records: list[Record] = records.read(directory.results, progress) if directory.results.exists() else []

    def add(self, record: Record) -> None:
        """Append a record; it is on disk when this returns."""
        records.append(self.directory.results, record)
        self.records.append(record)

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """All records of one kind, oldest first."""
        return [record for record in self.records if isinstance(record, kind)]

    def report(self, dataset: Dataset) -> Summary:
        """Write the report and derive the document."""
        summary = summarise(self.records)
        return summary.reported(self.write_report(dataset, summary))

    def write_report(self, dataset: Dataset, summary: Summary | None = None) -> Path:
        """Write the report; gives the page's path."""
        place = self.directory.path
        sheet, queried, readings = contact_sheet(dataset), load_queried(place), load_readings(place)
        return write_report(self.records, place, sheet, queried, readings, summary)
