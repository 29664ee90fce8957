"""The report's section on split learning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import records
from benchmarks.record_set import RecordSet
from benchmarks.records import Inversion, SplitEvaluation, StepCost
from benchmarks.report import Readings, write_report
from benchmarks.report.splits import split_verdict, splits_section


def evaluated(protection: str, decoder: float, seed: int = 0, blind: float = 15.0) -> SplitEvaluation:
    """A network whose decoder reads at so many dB."""

    def read(attack: str, psnr: float) -> Inversion:
        return Inversion(attack=attack, mse=[10 ** (-psnr / 10)] * 4, ssim=[0.5] * 4, seconds=1.0, notes={})

    return SplitEvaluation(
        run_id="r",
        dataset="clinic",
        dataset_sha256="0" * 64,
        protection=protection,
        depth=2,
        smashed=(16, 8, 8),
        seed=seed,
        accuracy={"clean": {"decision": 0.8, "fused": 0.7}, "fgsm": {"decision": 0.4}},
        inversions=[read("mean", blind), read("decoder", decoder)],
        cost=StepCost(processes=True, steps=9, client_ms=1, server_ms=2, channel_ms=3, bytes_up=4000, bytes_down=5000),
        client_sha256=f"{protection}{seed}",
    )


def test_what_does_not_protect_is_said_first() -> None:
    plain, psgl, ours = evaluated("none", 29.6), evaluated("psgl", 29.8), evaluated("aware:0.5", 15.9)
    first, second, third = split_verdict([plain, psgl, ours])
    assert first.startswith("Plain split learning: a learned decoder reads patients of clinic back at 29.6 dB")
    assert second.startswith("Protection psgl does not protect")
    assert "29.8 dB" in second
    assert third.startswith("Protection aware:0.5 protects from it")


def test_protection_in_between_is_given_its_number_and_no_praise() -> None:
    told = split_verdict([evaluated("none", 29.6), evaluated("noise:1", 21.0)])[1]
    assert told.startswith("Protection noise:1: a learned decoder reads patients of clinic back at 21.0 dB")
    assert told.endswith("(the mean image alone: 15.0 dB).")


def test_numbers_are_means_over_seeds() -> None:
    assert "25.0 dB" in split_verdict([evaluated("noise:1", 20.0, 0), evaluated("noise:1", 30.0, 1)])[0]


def test_a_network_evaluated_again_stands_there_once() -> None:
    held = RecordSet((evaluated("none", 20.0), evaluated("none", 30.0)))
    assert [one.inversions[1].psnr[0] for one in held.split_evaluations] == [pytest.approx(30.0)]


def test_the_report_shows_patients_and_what_was_read_of_them(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1)).astype(np.uint8)
    readings = Readings("none", 0, images, images[:, :8, :8], {"mean": images, "decoder": images[:2]})
    page = write_report([evaluated("none", 29.6)], tmp_path, readings=[readings]).read_text()
    assert (tmp_path / "plots" / "readings_1.png").stat().st_size > 1000
    assert "Split learning" in page
    assert "29.6" in page
    assert "No theft was tried" not in page


def test_without_evaluations_there_is_no_section() -> None:
    assert splits_section(RecordSet(()), (), {}) is None


def test_an_evaluation_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    record = evaluated("psgl", 29.8)
    records.append(tmp_path / "results.jsonl", record)
    assert records.read(tmp_path / "results.jsonl") == [record]
