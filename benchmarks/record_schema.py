"""The JSON Schema of a record: `python -m benchmarks.record_schema` writes `benchmarks/record_schema.json` anew.

For those who read our records without our code: one line of a `results.jsonl` is one document of this schema.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from benchmarks.records import SCHEMA_VERSION, Record
from foundation.files import write_text

PATH = Path(__file__).with_name("record_schema.json")


def record_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of every kind of record. Fields that younger records have are optional in it."""
    adapter: TypeAdapter[Record] = TypeAdapter(Record)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"edgecat record, schema version {SCHEMA_VERSION}",
        "description": "One line of a results.jsonl; `kind` tells which record it is.",
    }
    return head | adapter.json_schema(mode="validation")


def as_text() -> str:
    """The file's content."""
    return json.dumps(record_schema(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the file."""
    write_text(PATH, as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
