"""What a benchmark that takes hours has measured, kept as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from foundation.files import file_name, write_text

Raw = dict[str, JsonValue]


def once(folder: Path, name: str, make: Callable[[], Raw]) -> None:
    """Keep under a name what `make` gives, unless something is kept there already."""
    if known(folder, name) is None:
        write_text(_place(folder, name), json.dumps(make()))


def known(folder: Path, name: str) -> Raw | None:
    """What is kept under a name, or None."""
    place = _place(folder, name)
    if not place.is_file():
        return None
    found: Raw = json.loads(place.read_text())
    return found


def _place(folder: Path, name: str) -> Path:
    return folder / f"{file_name(name)}.json"
