"""The report's choice between precisions: who stands on the front, and whether one is harder to steal."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabricated_records import RecordMaker

from benchmarks.record_set import RecordSet
from benchmarks.records import Record
from benchmarks.report import write_report
from benchmarks.report.precisions import common_thieves, efficient, less_float
from benchmarks.summary import summarise

# Median latency in microseconds.
FILES = {
    ("tflite", "fp32"): 900.0,
    ("tflite", "int8"): 400.0,
    ("executorch", "fp32"): 1000.0,
    ("tflite", "fp16"): 950.0,
}


def records(maker: RecordMaker, disagreements: dict[str, float]) -> list[Record]:
    """Four files; thieves of those named, with three seeds, and of int8 a smaller budget besides."""
    found: list[Record] = [maker.context(), maker.victim(), maker.device()]
    for (runtime, precision), median_us in FILES.items():
        artifact = maker.artifact(runtime, precision)
        found += [artifact, maker.accuracy_on_device(artifact.name), maker.latency(artifact.name, median_us=median_us)]
        for seed in range(3) if artifact.name in disagreements else ():
            found.append(maker.attack(artifact.name, seed, disagreement=disagreements[artifact.name]))
            found.append(maker.attack(artifact.name, seed, disagreement=0.6, budget=250, queries=250))
    return found


def test_the_front_has_whom_no_other_beats_in_size_latency_and_accuracy() -> None:
    artifacts = summarise(records(RecordMaker(), {})).artifacts
    equal = [a.model_copy(update={"accuracy_on_device": 0.9}) for a in artifacts]
    assert [a.name for a in efficient(equal)] == ["tflite_int8"]
    better = [a.model_copy(update={"accuracy_on_device": 0.91 if a.name == "tflite_fp32" else 0.9}) for a in artifacts]
    assert [a.name for a in efficient(better)] == ["tflite_fp32", "tflite_int8"]
    # Twins stand there together.
    assert len(efficient([equal[1], equal[1].model_copy(update={"name": "twin"})])) == 2


@pytest.mark.parametrize(("disagreement", "words"), [(0.5, "less faithfully"), (0.05, "more faithfully")])
def test_a_precision_that_is_harder_or_easier_to_steal_is_said_so(
    tmp_path: Path, disagreement: float, words: str
) -> None:
    found = records(RecordMaker(), {"tflite_fp32": 0.25, "tflite_int8": disagreement})
    page = write_report(found, tmp_path)
    for text in (page.read_text(), (tmp_path / "report.md").read_text().replace("\\", "")):
        assert f"copies tflite_int8 {words} than float32" in text
    assert {"precisions_1.svg", "stolen_1.svg"} <= {path.name for path in (tmp_path / "plots").iterdir()}


def test_thieves_are_compared_with_those_of_the_float_file_of_the_same_runtime_and_budget() -> None:
    held = RecordSet(records(RecordMaker(), {"tflite_fp32": 0.1, "executorch_fp32": 0.6, "tflite_int8": 0.1}))
    (own,) = common_thieves(summarise(held.records).attacks)
    assert {attack.budget for attack in own} == {4000}
    intervals = less_float(held, own)
    assert intervals.keys() == {"tflite_int8"}
    low, high = intervals["tflite_int8"]
    # Against ExecuTorch's it would be far above.
    assert low < 0.1
    assert high > -0.1


def test_two_files_are_no_choice(tmp_path: Path) -> None:
    found = [r for r in records(RecordMaker(), {}) if "executorch" not in str(r) and "fp16" not in str(r)]
    assert "Which precision" not in write_report(found, tmp_path).read_text()
