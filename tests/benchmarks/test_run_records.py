"""The record file: what is appended is read again, and what a kill tore is neither believed nor built upon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fabricated_records import RecordMaker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks.records import RAW_LIMIT, Attack, Context, Record, append, read
from foundation.errors import DataError, UsageError
from foundation.progress import Silent


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def say(self, message: str) -> None:
        self.heard.append(message)


def test_every_kind_of_record_is_read_as_it_was_appended(
    tmp_path: Path, maker: RecordMaker, run_records: list[Record]
) -> None:
    run_records = [*run_records, maker.gain("tflite_int8"), maker.gain("tflite_int8", saliency=None, calibration=None)]
    path = tmp_path / "deep" / "results.jsonl"
    for record in run_records:
        append(path, record)
    assert read(path) == run_records
    assert {record.kind for record in run_records} == {
        "context", "victim", "artifact", "device", "accuracy_on_device", "latency", "attack", "gain"
    }  # fmt: skip
    assert len(path.read_bytes().splitlines()) == len(run_records)


def test_times_are_written_as_iso_8601_utc(tmp_path: Path, maker: RecordMaker) -> None:
    append(tmp_path / "r.jsonl", maker.context())
    assert json.loads((tmp_path / "r.jsonl").read_text())["created"] == "2025-03-01T12:00:00Z"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(cut=st.integers(min_value=1))
def test_a_torn_last_line_is_dropped_with_a_notice_and_cut_off_before_the_next_append(tmp_path: Path, cut: int) -> None:
    maker = RecordMaker(images=5)
    first, second, third = maker.context(), maker.device(), maker.context(seed=7)
    path = tmp_path / "results.jsonl"
    path.unlink(missing_ok=True)
    append(path, first)
    whole = path.stat().st_size
    append(path, second)
    content = path.read_bytes()
    kept = whole + cut % (len(content) - 1 - whole)
    path.write_bytes(content[:kept])
    listener = Listener()
    assert read(path, listener) == [first]
    assert len(listener.heard) == (1 if kept > whole else 0)
    assert all("line 2" in message and str(path) in message for message in listener.heard)
    append(path, third)
    assert read(path) == [first, third]


def test_a_last_line_that_lacks_only_its_end_is_kept(tmp_path: Path, maker: RecordMaker) -> None:
    path = tmp_path / "results.jsonl"
    append(path, maker.context())
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert read(path) == [maker.context()]
    append(path, maker.device())
    assert read(path) == [maker.context(), maker.device()]


def test_a_character_torn_in_half_is_a_torn_line(tmp_path: Path, maker: RecordMaker) -> None:
    path = tmp_path / "results.jsonl"
    append(path, maker.context())
    with path.open("ab") as stream:
        stream.write('{"kind": "device", "model": "é'.encode()[:-1])
    assert read(path) == [maker.context()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{torn}", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "schema_version"),
        (b'{"schema_version": 2, "kind": "context"}', "schema_version 2"),
        (b'{"schema_version": 1, "kind": "unheard of"}', "unheard of"),
        (b'{"schema_version": 1, "kind": "device", "run_id": "r", "device_kind": "toaster"}', "device"),
    ],
)
def test_a_bad_line_is_an_error_that_names_file_and_line(
    tmp_path: Path, maker: RecordMaker, line: bytes, words: str
) -> None:
    path = tmp_path / "results.jsonl"
    append(path, maker.context())
    good = path.read_bytes()
    for content in (good + line + b"\n" + good, good + line + b"\n"):
        path.write_bytes(content)
        with pytest.raises(DataError) as caught:
            read(path)
        assert f"{path}, line 2" in str(caught.value)
        assert words in str(caught.value)


def test_a_file_that_is_not_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.jsonl"):
        read(tmp_path / "none.jsonl")


def test_a_place_that_cannot_be_written_is_a_usage_error(tmp_path: Path, maker: RecordMaker) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        append(tmp_path / "file" / "results.jsonl", maker.context())


def test_records_refuse_nan_unknown_fields_and_shares_above_one(maker: RecordMaker) -> None:
    attack = _attack(maker)
    for change in ({"fidelity": float("nan")}, {"fidelity": 1.2}, {"unknown": 1}, {"device_kind": "toaster"}):
        with pytest.raises(ValidationError):
            type(attack).model_validate(attack.model_dump() | change)


def test_records_are_frozen(maker: RecordMaker) -> None:
    context: Context = maker.context()
    with pytest.raises(ValidationError):
        context.seed = 3  # type: ignore[misc]


def test_a_victim_has_one_prediction_for_each_label(maker: RecordMaker) -> None:
    victim = maker.victim()
    with pytest.raises(ValidationError, match="399 predictions"):
        type(victim).model_validate(victim.model_dump() | {"predictions": victim.predictions[1:]})


def test_latency_keeps_no_more_raw_samples_than_the_limit(maker: RecordMaker) -> None:
    latency = maker.latency("tflite_int8")
    assert latency.raw_kept == len(latency.raw_us) == RAW_LIMIT
    assert latency.latency_us is not None
    assert latency.latency_us.count == 2600
    with pytest.raises(ValidationError):
        type(latency).model_validate(latency.model_dump() | {"raw_us": [1.0] * (RAW_LIMIT + 1)})


def _attack(maker: RecordMaker) -> Record:
    maker.accuracy_on_device("tflite_int8")
    return maker.attack("tflite_int8")


def test_a_theft_of_before_learners_and_energy_is_read_as_a_plain_one(tmp_path: Path, maker: RecordMaker) -> None:
    maker.accuracy_on_device("a")
    fields = json.loads(maker.attack("a").model_dump_json())
    del fields["learner"], fields["energy_joules"]
    (tmp_path / "r.jsonl").write_text(json.dumps(fields) + "\n")
    (attack,) = read(tmp_path / "r.jsonl")
    assert isinstance(attack, Attack)
    assert (attack.learner, attack.energy_joules) == ("supervised", None)
    assert attack.seconds_wall == attack.seconds_query + attack.seconds_train


def test_energy_below_nothing_is_refused(maker: RecordMaker) -> None:
    maker.accuracy_on_device("a")
    with pytest.raises(ValidationError):
        maker.attack("a", energy_joules=-1.0)
