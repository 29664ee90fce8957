"""What the export matrix tells of a run over all recipes."""

from __future__ import annotations

from pathlib import Path

from fabricated_records import RecordMaker

from benchmarks import records
from benchmarks.matrix.precisions import collected


def test_each_file_has_its_cost_its_worth_and_its_thief(tmp_path: Path) -> None:
    maker = RecordMaker()
    for record in (maker.context(), maker.victim(), maker.device()):
        records.append(tmp_path / "results.jsonl", record)
    for precision in ("fp32", "int8", "fp16"):
        artifact = maker.artifact("tflite", precision)
        made = [artifact, maker.accuracy_on_device(artifact.name), maker.latency(artifact.name, median_us=500)]
        thieves = [maker.attack(artifact.name, seed, disagreement=0.3) for seed in range(3)]
        for record in made + (thieves if precision != "fp16" else []):
            records.append(tmp_path / "results.jsonl", record)
    files = {row["name"]: row for row in collected(tmp_path)["files"]}  # type: ignore[union-attr, index, call-overload]
    assert set(files) == {"tflite_fp32", "tflite_int8", "tflite_fp16"}
    assert files["tflite_int8"]["on_front"]
    assert files["tflite_int8"]["seeds"] == 3
    assert files["tflite_int8"]["less_float_ci"] is not None
    assert files["tflite_fp32"]["less_float_ci"] is None
    assert "fidelity" not in files["tflite_fp16"]
    assert 400 < files["tflite_fp16"]["p50_us"] < 600
