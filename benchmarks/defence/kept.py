"""What a benchmark that takes hours has measured, kept as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from benchmarks.theft.thefts import Data
from foundation.files import file_name, write_text

Raw = dict[str, JsonValue]


def once(work: Path, data: Data, name: str, make: Callable[[], Raw]) -> None:
    """Keep under a name what `make` gives, unless something is kept there already."""
    if known(work, data, name) is None:
        write_text(_place(work, data, name), json.dumps(make()))


def known(work: Path, data: Data, name: str) -> Raw | None:
    """What is kept under a name, or None."""
    place = _place(work, data, name)
    if not place.is_file():
        return None
    found: Raw = json.loads(place.read_text())
    return found


def _place(work: Path, data: Data, name: str) -> Path:
    return work / data.name / f"{file_name(name)}.json"
