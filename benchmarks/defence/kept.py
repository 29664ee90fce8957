"""What a benchmark that takes hours has measured, kept as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue

from foundation.files import write_text

Raw = dict[str, JsonValue]


def once(path: Path, make: Callable[[], Raw]) -> Raw:
    """What stands in a file; what `make` gives, now and from now on, where there is none."""
    found = known(path)
    if found is None:
        found = make()
        write_text(path, json.dumps(found))
    return found


def known(path: Path) -> Raw | None:
    """What stands in a file, or None."""
    if not path.is_file():
        return None
    found: Raw = json.loads(path.read_text())
    return found
