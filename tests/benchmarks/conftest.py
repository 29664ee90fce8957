"""Fixtures of the benchmarks' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.records import Record

# pytest's importlib mode puts no directory of tests on the path; these tests share a maker of records.
sys.path.append(str(Path(__file__).parent))

from fabricated_records import RecordMaker, whole_run


@pytest.fixture
def maker() -> RecordMaker:
    """A maker of records about four classes and 400 test images."""
    return RecordMaker()


@pytest.fixture
def run_records(maker: RecordMaker) -> list[Record]:
    """The records of a whole run."""
    return whole_run(maker)
