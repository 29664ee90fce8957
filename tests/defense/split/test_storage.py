"""A trained split network on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from defense.split.processes import train_in_process
from defense.split.storage import (
    CLIENT_FILE,
    RECORD_FILE,
    SERVER_FILE,
    SplitRecord,
    load_split,
    save_client,
    save_record,
)
from defense.split.training import logits
from foundation.errors import ArtifactError
from foundation.files import sha256_file

from .conftest import config_for, halves


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a trained network that wants psgl's head too."""
    train = halves(48, 0)
    config = config_for(train, protection="psgl")
    trainer = train_in_process(config, train, tmp_path)
    record = SplitRecord(
        config=config,
        dataset="halves",
        dataset_sha256="0" * 64,
        class_names=("upper", "lower"),
        processes=False,
        history=tuple(trainer.history),
        costs=trainer.costs,
        accuracy=0.5,
        seconds=1.0,
        client_sha256=save_client(tmp_path, trainer.client.model, config),
        server_sha256=sha256_file(tmp_path / SERVER_FILE),
    )
    save_record(tmp_path, record)
    images = halves(8, 3).images
    np.save(tmp_path / "logits.npy", logits(trainer.client.model.eval(), trainer.client.model.server, images))
    return tmp_path


def test_what_was_stored_answers_as_what_was_trained(place: Path) -> None:
    stored = load_split(place)
    again = logits(stored.model, stored.model.server, halves(8, 3).images)
    assert np.array_equal(again, np.load(place / "logits.npy"))
    assert len(stored.record.costs) == 6
    assert [epoch.epoch for epoch in stored.record.history] == [1, 2]


@pytest.mark.parametrize("name", [CLIENT_FILE, SERVER_FILE, RECORD_FILE])
def test_a_torn_file_is_refused(place: Path, name: str) -> None:
    path = place / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        load_split(place)


@pytest.mark.parametrize("name", [CLIENT_FILE, RECORD_FILE])
def test_a_missing_file_is_told(place: Path, name: str) -> None:
    (place / name).unlink()
    with pytest.raises(ArtifactError):
        load_split(place)
