"""The data-set record: shapes, checks, and splits that no patient crosses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import DataError
from victim.dataset import Dataset, Split, hold_out, split_by_patient


def made(labels: list[int], patients: list[int] | None = None) -> Split:
    """Images whose first pixel is their row."""
    count = len(labels)
    images = np.zeros((count, 4, 4, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(count) % 256
    numbers = list(range(count)) if patients is None else patients
    return Split(images, np.array(labels, np.int64), np.array(numbers, np.int64))


def divided(seed: int = 0) -> Dataset:
    everything = made([0, 1] * 20, [row // 2 for row in range(40)])
    splits = split_by_patient(everything, (0.4, 0.2, 0.2, 0.2), np.random.default_rng(seed))
    return Dataset("made", ("no", "yes"), *splits)


def test_split_refuses_images_that_are_not_uint8_nhwc() -> None:
    with pytest.raises(DataError, match="float32"):
        Split(np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64), np.arange(2))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="N x H x W x C"):
        Split(np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), np.arange(2))


def test_split_refuses_unequal_counts() -> None:
    with pytest.raises(DataError, match="2 images, 3 labels, 2 patients"):
        Split(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(3, np.int64), np.arange(2))


def test_take_keeps_images_labels_and_patients_together() -> None:
    taken = made([0, 1, 2, 3]).take(np.array([3, 1]))
    assert taken.images[:, 0, 0, 0].tolist() == taken.labels.tolist() == taken.patients.tolist() == [3, 1]


def test_checked_returns_a_sound_data_set() -> None:
    dataset = divided()
    assert dataset.checked() is dataset
    assert dataset.image_shape == (4, 4, 1)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_checked_refuses_an_empty_split(part: str) -> None:
    with pytest.raises(DataError, match=f"no images for {part}"):
        replace(divided(), **{part: made([])}).checked()


def test_checked_allows_a_thief_without_images() -> None:
    replace(divided(), thief=made([])).checked()


def test_checked_refuses_other_image_shapes() -> None:
    wide = Split(np.zeros((2, 4, 8, 1), np.uint8), np.array([0, 1]), np.array([900, 901]))
    with pytest.raises(DataError, match="test images differ in shape"):
        replace(divided(), test=wide).checked()


@pytest.mark.parametrize("label", [-1, 2])
def test_checked_refuses_a_label_without_a_class(label: int) -> None:
    with pytest.raises(DataError, match="val has no class name"):
        replace(divided(), val=made([label], [900])).checked()


def test_checked_refuses_one_class_only() -> None:
    with pytest.raises(DataError, match="one class only"):
        replace(divided(), train=made([1, 1], [900, 901])).checked()


def test_checked_refuses_a_patient_in_two_splits() -> None:
    dataset = divided()
    twice = made([0], [int(dataset.train.patients[0])])
    with pytest.raises(DataError, match="a patient of test stands in another split"):
        replace(dataset, test=twice).checked()


@given(
    patients=st.lists(st.integers(0, 30), min_size=1, max_size=120),
    cuts=st.tuples(*[st.integers(1, 10)] * 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_split_by_patient_deals_every_image_once_and_no_patient_twice(
    patients: list[int], cuts: tuple[int, int, int, int], seed: int
) -> None:
    everything = made([p % 3 for p in patients], patients)
    a, b, c, d = (cut / sum(cuts) for cut in cuts)
    splits = split_by_patient(everything, (a, b, c, d), np.random.default_rng(seed))
    rows = np.concatenate([s.images[:, 0, 0, 0] for s in splits])
    assert sorted(rows.tolist()) == list(range(len(patients)))
    seen = [set(s.patients.tolist()) for s in splits]
    assert sum(map(len, seen)) == len(set.union(*seen)) == len(set(patients))


def test_split_by_patient_keeps_the_fractions_in_every_class() -> None:
    everything = made([0] * 200 + [1] * 40)
    splits = split_by_patient(everything, (0.5, 0.1, 0.2, 0.2), np.random.default_rng(1))
    assert [np.bincount(s.labels).tolist() for s in splits] == [[100, 20], [20, 4], [40, 8], [40, 8]]


def test_split_by_patient_depends_on_the_generator_alone() -> None:
    same, again, other = divided(3), divided(3), divided(4)
    assert same.sha256 == again.sha256 != other.sha256


def test_hold_out_moves_training_patients_only() -> None:
    dataset = replace(divided(), thief=made([]))
    after = hold_out(dataset, 0.5, np.random.default_rng(0)).checked()
    assert len(after.train) == len(after.thief) == len(dataset.train) / 2
    moved = set(after.train.patients.tolist()) | set(after.thief.patients.tolist())
    assert moved == set(dataset.train.patients.tolist())
    assert after.test is dataset.test
    assert after.val is dataset.val


@pytest.mark.parametrize("part", ["train", "val", "test", "thief"])
def test_sha256_follows_every_split(part: str) -> None:
    dataset = divided()
    split = dataset.splits[part]
    changed = Split(split.images ^ 1, split.labels, split.patients)
    assert replace(dataset, **{part: changed}).sha256 != dataset.sha256
