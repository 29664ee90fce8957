"""The JSON Schema file is that of the records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fabricated_records import RecordMaker, whole_run

from benchmarks.record_schema import PATH, record_schema


def test_the_schema_file_is_current() -> None:
    assert json.loads(PATH.read_text()) == record_schema(), "python -m benchmarks.record_schema writes it anew"


@pytest.fixture(scope="module")
def valid() -> Any:
    jsonschema = pytest.importorskip("jsonschema", reason="ray brings it (extra fleet)")
    schema = json.loads(PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid


def test_records_are_valid_against_it(maker: RecordMaker, valid: Any) -> None:
    for record in [*whole_run(maker)[:8], maker.gain("tflite_int8")]:
        assert valid(json.loads(record.model_dump_json())), record.kind


def test_what_is_no_record_is_not(maker: RecordMaker, valid: Any) -> None:
    latency = json.loads(maker.latency("tflite_int8").model_dump_json())
    assert valid(latency)
    for change in ({"kind": "unheard of"}, {"raw_us": ["fast"]}, {"unknown": 1}, {"device_kind": "toaster"}):
        assert not valid(latency | change)
    assert not valid({name: value for name, value in latency.items() if name != "artifact"})
