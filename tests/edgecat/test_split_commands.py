"""`edgecat defend psgl train` and `infer` on a small data set, both halves on the host."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .command_line import Ended

pytestmark = pytest.mark.timeout(180, func_only=True)

Here = Callable[..., Ended]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("split") / "network"


@pytest.fixture
def words(data: Path, place: Path) -> list[object]:
    return ["defend", "psgl", "train", "--data", data, "--out", place, "--protection", "psgl", "--epochs", 2]


def test_a_split_network_is_trained_stored_and_answers(
    edgecat_here: Here, words: list[object], data: Path, place: Path
) -> None:
    made = edgecat_here(*words, "--in-process", "--json").document()
    assert [epoch["epoch"] for epoch in made["history"]] == [1, 2]
    assert json.loads((place / "split.json").read_text())["client_sha256"] == made["client_sha256"]
    assert len(made["costs"]["client_ms"]) == len(made["costs"]["server_ms"]) > 0
    assert not list((place / "checkpoints").iterdir())
    told = edgecat_here("defend", "psgl", "infer", place, "--data", data, "--json").document()
    assert told["accuracy"] == made["accuracy"]
    assert len(told["labels"]) == len(told["logits"])
    again = edgecat_here(*words, "--in-process", "--resume", "--json").document()
    assert again == made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--resume", "--epochs", 3, "--in-process"], "other settings"),
        (["--protection", "armour"], "unknown protection"),
        (["--protection", "noise:x"], "noise:x"),
        (["--wire", "float8"], "float8"),
        (["--in-process", "--transcript", "seen"], "transcript"),
    ],
)
def test_settings_that_cannot_be_are_told_in_one_line(
    edgecat_here: Here, words: list[object], change: list[object], said: str, place: Path
) -> None:
    if "--resume" in change and not (place / "split.json").exists():
        pytest.skip("nothing was trained")
    assert said in edgecat_here(*words, *change).refusal(2)


def test_a_directory_without_a_network_is_told(edgecat_here: Here, tmp_path: Path, data: Path) -> None:
    assert "no split network" in edgecat_here("defend", "psgl", "infer", tmp_path, "--data", data).refusal(4)


def test_a_trained_network_is_evaluated_once_and_reported(
    edgecat_here: Here, words: list[object], data: Path, place: Path, tmp_path: Path
) -> None:
    edgecat_here(*words, "--in-process", "--resume", "--json")
    evaluate = ["defend", "psgl", "evaluate", place, "--data", data, "--out", tmp_path, "--victims", 12]
    evaluate += ["--effort", 0.02, "--adversarial", "fgsm", "--json"]
    found = edgecat_here(*evaluate).document()
    [evaluation] = found["evaluations"]
    assert set(evaluation["accuracy"]["clean"]) == {"decision", "attacked", "recovered", "fused"}
    assert {inversion["attack"]: len(inversion["mse"]) for inversion in evaluation["inversions"]} == {
        "mean": 12,
        "decoder": 12,
    }
    page = Path(found["report"]).read_text()
    assert "What attacks read back" in page
    assert (tmp_path / "plots" / "readings_1.png").exists()
    assert edgecat_here(*evaluate).document()["evaluations"] == found["evaluations"]
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1


def test_an_unknown_attack_on_patients_is_told(edgecat_here: Here, place: Path, data: Path, tmp_path: Path) -> None:
    evaluate = ["defend", "psgl", "evaluate", place, "--data", data, "--out", tmp_path / "out", "--attack", "telepathy"]
    assert "unknown attack 'telepathy'" in edgecat_here(*evaluate).refusal(2)
