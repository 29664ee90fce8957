"""Data that cannot be used, to train on or to ask about: one line, exit code 4, before any work is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from .command_line import CommandLine, Ended

pytestmark = pytest.mark.timeout(60, func_only=True)

Arrays = dict[str, NDArray[Any]]


def _float(arrays: Arrays) -> Arrays:
    return arrays | {"train_images": arrays["train_images"].astype(np.float32) / 255}


def _nan(arrays: Arrays) -> Arrays:
    images = arrays["test_images"].astype(np.float32)
    images[3, 4, 5] = np.nan
    return arrays | {"test_images": images}


def _empty(arrays: Arrays) -> Arrays:
    return {name: values[:0] for name, values in arrays.items()}


def _one_class(arrays: Arrays) -> Arrays:
    return {name: np.zeros_like(values) if name.endswith("labels") else values for name, values in arrays.items()}


def _no_test(arrays: Arrays) -> Arrays:
    return {name: values for name, values in arrays.items() if not name.startswith("test")}


def _unequal(arrays: Arrays) -> Arrays:
    return arrays | {"test_images": arrays["test_images"][:, :16]}


def _unlabelled(arrays: Arrays) -> Arrays:
    return arrays | {"train_labels": arrays["train_labels"][:-1]}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_float, "float32"),
        (_nan, "1 of them NaN"),
        (_empty, "no images"),
        (_one_class, "one class only"),
        (_no_test, "test_images"),
        (_unequal, "differ in shape"),
        (_unlabelled, "699 train_labels"),
    ],
)
def test_a_data_set_that_cannot_be_used_is_told_before_training(
    edgecat_here: Callable[..., Ended],
    arrays: Arrays,
    tmp_path: Path,
    spoil: Callable[[Arrays], Arrays],
    said: str,
) -> None:
    np.savez(tmp_path / "spoilt.npz", **spoil(arrays))
    for words in (("train", "--out", tmp_path / "victim"), ("run", "--out", tmp_path / "run")):
        told = edgecat_here(*words, "--data", tmp_path / "spoilt.npz").refusal(4)
        assert said in told
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt.npz"]


def test_a_torn_data_set_is_told(edgecat: CommandLine, data: Path, tmp_path: Path) -> None:
    content = data.read_bytes()
    (tmp_path / "torn.npz").write_bytes(content[: len(content) // 2])
    told = edgecat("data", "show", "--data", tmp_path / "torn.npz", "--out", tmp_path / "sheet.png").refusal(4)
    assert "torn" in told
    assert not (tmp_path / "sheet.png").exists()


def test_a_folder_without_images_is_told(edgecat_here: Callable[..., Ended], tmp_path: Path) -> None:
    assert str(tmp_path) in edgecat_here("train", "--data", tmp_path).refusal(4)


def test_a_data_set_that_is_not_there_is_wrong_usage(edgecat: CommandLine, tmp_path: Path) -> None:
    told = edgecat("data", "show", "--data", tmp_path / "absent.npz").refusal(2)
    assert "no such file" in told
    assert "phantom" in told


@pytest.mark.device
@pytest.mark.export
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"images": np.zeros((4, 16, 16), np.uint8)}, "(16, 16, 1)"),
        ({"images": np.zeros((4, 32, 32, 3), np.uint8)}, "(32, 32, 3)"),
        ({"images": np.full((4, 32, 32), np.nan, np.float32)}, "uint8"),
        ({"images": np.zeros((0, 32, 32), np.uint8)}, "no image"),
        ({"labels": np.zeros(4, np.uint8)}, "'images'"),
    ],
    ids=["size", "channels", "nan", "empty", "labels only"],
)
def test_images_that_the_model_does_not_take_are_told_before_a_device_is_opened(
    edgecat: CommandLine, model: Path, tmp_path: Path, content: Arrays, said: str
) -> None:
    np.savez(tmp_path / "queries.npz", **content)
    told = edgecat("query", model, "--images", tmp_path / "queries.npz", "--device", "emulator:absent").refusal(4)
    assert said in told


@pytest.mark.device
@pytest.mark.export
def test_pictures_that_cannot_be_read_are_named(edgecat: CommandLine, model: Path, tmp_path: Path) -> None:
    def told() -> str:
        return edgecat("query", model, "--images", tmp_path, "--device", "emulator:absent").refusal(4)

    assert "no picture" in told()
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    assert "broken.png" in told()
    (tmp_path / "broken.png").rename(tmp_path / "queries.npz")
    assert "queries.npz" in edgecat("query", model, "--images", tmp_path / "queries.npz").refusal(4)
    edgecat("query", model, "--images", tmp_path / "absent").refusal(2)


@pytest.mark.device
@pytest.mark.export
def test_a_file_that_is_no_ledger_is_not_touched(edgecat: CommandLine, model: Path, data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("these are my notes, not a database " * 20)
    before = (tmp_path / "notes").read_text()
    assert "not a ledger" in edgecat("query", model, "--images", data, "--ledger", tmp_path / "notes").refusal(4)
    assert (tmp_path / "notes").read_text() == before
    below = tmp_path / "notes" / "ledger"
    assert "cannot open ledger" in edgecat("query", model, "--images", data, "--ledger", below).refusal(2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "has no results.jsonl"),
        # A line that a kill tore is dropped.
        ('{"kind": "context"', "no records"),
        ('{"schema_version": 99}\n{}\n', "line 1"),
        ("\x00\n\x00\n", "line 1"),
    ],
    ids=["absent", "torn", "of another version", "foreign"],
)
def test_records_that_cannot_be_read_are_told(
    edgecat_here: Callable[..., Ended], tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "results.jsonl").write_text(content)
    assert said in edgecat_here("report", tmp_path).refusal(4)
    assert not (tmp_path / "report.html").exists()
