"""MedMNIST files, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.data import radiographs
from foundation.errors import DataError
from victim.loaders import load, load_medmnist

_REAL = radiographs()


def arrays(shape: tuple[int, ...] = (28, 28), classes: int = 3, count: int = 30) -> dict[str, np.ndarray[Any, Any]]:
    generator = np.random.default_rng(5)
    made: dict[str, np.ndarray[Any, Any]] = {}
    for part, size in (("train", count), ("val", count // 3), ("test", count // 2)):
        made[f"{part}_images"] = generator.integers(0, 256, (size, *shape), np.uint8)
        made[f"{part}_labels"] = (np.arange(size) % classes)[:, None].astype(np.uint8)
    return made


@pytest.fixture
def npz(tmp_path: Path) -> Any:
    def write(made: dict[str, np.ndarray[Any, Any]]) -> Path:
        path = tmp_path / "made.npz"
        np.savez(path, **made)  # type: ignore[arg-type]
        return path

    return write


@pytest.mark.parametrize(("shape", "expected"), [((28, 28), (28, 28, 1)), ((224, 224, 3), (224, 224, 3))])
def test_grey_and_colour_of_any_size_keep_their_pixels(npz: Any, shape: Any, expected: Any) -> None:
    made = arrays(shape)
    dataset = load(str(npz(made)))
    assert dataset.image_shape == expected
    assert dataset.name == "made"
    assert np.array_equal(dataset.test.images.reshape(made["test_images"].shape), made["test_images"])
    assert dataset.test.labels.tolist() == made["test_labels"].ravel().tolist()
    assert dataset.class_names == ("class 0", "class 1", "class 2")


def test_size_resizes_by_area_means(npz: Any) -> None:
    made = arrays((56, 56))
    expected = made["test_images"].reshape(-1, 28, 2, 28, 2).mean(axis=(2, 4))
    got = load(str(npz(made)), size=28).test.images[..., 0]
    assert np.abs(got - expected).max() <= 1


def test_half_of_each_class_is_held_out_for_the_thief(npz: Any) -> None:
    dataset = load(str(npz(arrays())), seed=1)
    assert np.bincount(dataset.train.labels).tolist() == np.bincount(dataset.thief.labels).tolist() == [5, 5, 5]


@pytest.mark.parametrize(("fraction", "held"), [(0.0, 0), (0.2, 6), (0.8, 24)])
def test_thief_fraction_says_how_many_are_held_out(npz: Any, fraction: float, held: int) -> None:
    assert len(load(str(npz(arrays())), thief_fraction=fraction).thief) == held


def test_the_seed_chooses_what_the_thief_holds(npz: Any) -> None:
    path = str(npz(arrays()))
    assert load(path, seed=1).sha256 == load(path, seed=1).sha256 != load(path, seed=2).sha256


def test_val_is_split_off_train_where_the_file_has_none(npz: Any) -> None:
    made = {key: value for key, value in arrays(count=60).items() if not key.startswith("val")}
    dataset = load(str(npz(made)))
    assert (len(dataset.val), len(dataset.train) + len(dataset.thief)) == (6, 54)


def test_class_names_are_taken_from_the_file(npz: Any) -> None:
    made = arrays() | {"class_names": np.array(["normal", "nodule", "embolism"])}
    assert load(str(npz(made))).class_names == ("normal", "nodule", "embolism")


def test_labels_may_be_flat(npz: Any) -> None:
    made = {key: value.ravel() if key.endswith("labels") else value for key, value in arrays().items()}
    assert len(load(str(npz(made))).test) == 15


def _floats(made: Any) -> None:
    made["val_images"] = made["val_images"] / np.float32(255)


def _nan(made: Any) -> None:
    made["test_images"] = made["test_images"].astype(np.float32)
    made["test_images"][0, 0, 0] = np.nan


def _multi_label(made: Any) -> None:
    made["train_labels"] = np.zeros((30, 14), np.uint8)


def _objects(made: Any) -> None:
    made["train_images"] = np.array([{}] * 30, object)


_BAD = {
    "float32 values, not uint8": _floats,
    "test_images holds float32 values, 1 of them NaN": _nan,
    "14 labels for each image; multi-label": _multi_label,
    "Object arrays cannot be loaded": _objects,
    "has no train_images": lambda made: made.pop("train_images"),
    "val_images but no val_labels": lambda made: made.pop("val_labels"),
    "train_images is uint16": lambda made: made.update(train_images=made["train_images"].astype(np.uint16)),
    "volumes|shape": lambda made: made.update(train_images=np.zeros((30, 28, 28, 28), np.uint8)),
    "30 train_images but 29 train_labels": lambda made: made.update(train_labels=made["train_labels"][:29]),
    "not whole numbers": lambda made: made.update(train_labels=made["train_labels"] * 0.5),
    "outside 0…K-1": lambda made: made.update(train_labels=made["train_labels"].astype(np.int64) - 1),
    "labels go up to 4000000000": lambda made: made.update(test_labels=np.full((15, 1), 4_000_000_000)),
    "not K strings": lambda made: made.update(class_names=np.arange(3)),
    "has no class name": lambda made: made.update(class_names=np.array(["a", "b"])),
    "one class only": lambda made: made.update({k: v * 0 for k, v in made.items() if k.endswith("labels")}),
    "no images for train": lambda made: made.update(
        train_images=made["train_images"][:0], train_labels=made["train_labels"][:0]
    ),
    "test images differ in shape": lambda made: made.update(test_images=made["test_images"][:, :20]),
}


@pytest.mark.parametrize("message", list(_BAD))
def test_a_bad_file_is_refused_by_name(npz: Any, message: str) -> None:
    made = arrays()
    _BAD[message](made)
    with pytest.raises(DataError, match=message) as caught:
        load(str(npz(made)))
    assert "made" in str(caught.value)


def test_a_class_without_training_images_is_refused(npz: Any) -> None:
    made = arrays()
    made["train_labels"] = made["train_labels"] % 2
    with pytest.raises(DataError, match="no image of class 'class 2' for train"):
        load(str(npz(made)))


@pytest.mark.parametrize("keep", [0, 100, 5000, -10])
def test_a_torn_file_is_refused_by_name(npz: Any, keep: int) -> None:
    path = npz(arrays())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"made\.npz"):
        load(str(path))


def test_a_flipped_bit_is_noticed(npz: Any) -> None:
    path = npz(arrays())
    content = bytearray(path.read_bytes())
    content[2000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"made\.npz"):
        load(str(path))


@pytest.mark.data
@pytest.mark.skipif(_REAL is None, reason="chestxray64.npz is not here; set EDGECAT_CHESTXRAY to its path")
def test_real_chest_radiographs_load() -> None:
    dataset = load_medmnist(_REAL)
    assert dataset.image_shape == (64, 64, 1)
    assert (len(dataset.train) + len(dataset.thief), len(dataset.val), len(dataset.test)) == (786, 113, 225)
    assert abs(len(dataset.train) - len(dataset.thief)) <= 3
