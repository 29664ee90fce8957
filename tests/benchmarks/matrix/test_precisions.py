"""What the export matrix tells of a run over all recipes."""

from __future__ import annotations

from pathlib import Path

from fabricated_records import RecordMaker

from benchmarks import records
from benchmarks.matrix import tables
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


def test_the_documents_tables_tell_every_file() -> None:
    thief = {"fidelity": 0.8, "fidelity_ci": [0.7, 0.9], "less_float_ci": [-0.02, 0.01]}
    cost = {"on_front": True, "p50_us": 70.0, "p90_us": 75.0, "peak_rss_bytes": None, "accuracy": 0.9}
    parity = {"agreement": 0.99, "rms": 0.03}
    made = {"name": "tflite_int8", "bytes": 250_000, "accuracy": 0.9, "seconds": 9.0, "parity": parity}
    document = {
        "raw": {
            "phantom": {"float_accuracy": 0.91, "files": [made]},
            "phantom_precisions": {"files": [{"name": "a", **cost}, {"name": "b", **cost, **thief}]},
            "roads": {"tflite_int8": {"ours_us": [70.0], "theirs_us": [71.0], "ratio": 0.986}},
            "hostile": {
                "a": {
                    "mutants": 3,
                    "original_manifest": {"refused": 3},
                    "inspected": {"read": 3},
                    "forged_manifest": {},
                }
            },
        }
    }
    assert "| phantom | tflite_int8 | 250 | 99.0% | 0.03 | 90.0% | +1.0 | 9 |" in tables.recipes(document)
    assert "| b | yes | 70 / 75 | – | 90.0% | 80.0% (70.0%–90.0%) | -2.0 to +1.0 |" in tables.precisions(document)
    assert "| tflite_int8 | 70.0 | 71.0 | 0.986 |" in tables.roads(document)
    assert "| a | with the original's manifest | 3 | 3 refused |" in tables.hostile(document)
