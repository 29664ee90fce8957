"""Which answers are altered, and to what."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pytest
from marked_images import KEY, OTHER, varied
from numpy.typing import NDArray
from victims_in_process import answer, fixed_logits, numbered_images

from defense.ownership.key import KEY_BYTES, fingerprint, make_key, read_key
from defense.ownership.watermark import MOST, Watermark, coarse
from foundation.answers import AnswerPolicy
from foundation.errors import UsageError


@pytest.fixture(scope="module")
def marked() -> NDArray[np.uint8]:
    """Images that `KEY` marks."""
    images = varied(20_000)
    return images[Watermark(KEY).shifts(images, 4) > 0]


def test_the_rate_is_met() -> None:
    images = varied(40_000, 1)
    for rate in (MOST, 0.001):
        altered = np.count_nonzero(Watermark(KEY, rate).shifts(images, 4))
        assert altered == pytest.approx(40_000 * rate, abs=4 * np.sqrt(40_000 * rate))


def test_every_other_class_is_answered_alike() -> None:
    shifts = Watermark(KEY).shifts(varied(60_000, 2), 4)
    counts = np.bincount(shifts, minlength=4)[1:]
    assert counts.sum() > 200
    assert counts.min() > 0.6 * counts.mean()


def test_an_image_is_decided_once_and_for_all(marked: NDArray[np.uint8]) -> None:
    alone = np.concatenate([Watermark(KEY).shifts(image[None], 4) for image in marked])
    assert np.array_equal(alone, Watermark(KEY).shifts(marked, 4))
    assert len(marked) > 50
    assert np.count_nonzero(Watermark(OTHER).shifts(marked, 4)) < 5


def test_small_changes_change_no_decision(marked: NDArray[np.uint8]) -> None:
    expected = Watermark(KEY).shifts(marked, 4)
    noise = np.random.default_rng(3).integers(-1, 2, marked.shape)
    for changed, least in ((marked + noise, 0.85), (marked.astype(int) + 3, 0.99)):
        kept = Watermark(KEY).shifts(np.clip(changed, 0, 255).astype(np.uint8), 4) == expected
        assert kept.mean() > least


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (7, 16, 3), (64, 64, 1)])
def test_images_of_any_size_have_a_coarse_picture(shape: tuple[int, int, int]) -> None:
    images = numbered_images(3, shape=shape)
    found = coarse(images)
    assert found.shape == (3, min(shape[0], 4), min(shape[1], 4), shape[2])
    assert np.abs(found).max() <= 255 / 24 + 1


@pytest.mark.parametrize("policy", ["label", "topk:1", "topk:3", "topk:4", "scores", "logits"])
def test_the_altered_class_takes_the_best_ones_place(marked: NDArray[np.uint8], policy: str) -> None:
    images = np.concatenate([marked, numbered_images(100)])
    true = answer(AnswerPolicy.parse(policy), fixed_logits(4)(images))
    shifts = Watermark(KEY).shifts(images, 4)
    told, rows = Watermark(KEY).alter(images, true)
    assert rows.tolist() == np.flatnonzero(shifts).tolist()
    assert np.array_equal(told.top1(), (true.top1() + shifts) % 4)
    assert np.array_equal(told.device_ns, true.device_ns)
    # Nothing else gives the mark away: the same classes once each, the same values.
    if policy not in ("label", "topk:1", "topk:3"):
        assert np.array_equal(np.sort(told.labels, axis=1), np.sort(true.labels, axis=1))
    assert all(len(set(row)) == len(row) for row in told.labels.tolist())
    if true.scores is not None and told.scores is not None:
        assert np.array_equal(np.sort(told.scores, axis=1), np.sort(true.scores, axis=1))
    others = np.setdiff1d(np.arange(len(images)), rows)
    assert np.array_equal(told.labels[others], true.labels[others])


def test_the_victims_own_answers_are_left_as_they_are(marked: NDArray[np.uint8]) -> None:
    true = answer(AnswerPolicy("scores"), fixed_logits(4)(marked))
    assert true.scores is not None
    before = true.scores.copy()
    Watermark(KEY).alter(marked, true)
    assert np.array_equal(true.scores, before)


def test_a_refusal_is_not_altered(marked: NDArray[np.uint8]) -> None:
    flat = np.zeros((len(marked), 4), np.float32)
    refused = answer(AnswerPolicy.parse("confident:0.9"), flat)
    told, rows = Watermark(KEY).alter(marked, refused)
    assert len(rows) == 0
    assert np.array_equal(told.scores, refused.scores)


def test_equal_values_leave_no_mark_that_was_not_given(marked: NDArray[np.uint8]) -> None:
    """Rounded so coarsely that classes tie: only rows whose answer did change are told."""
    true = answer(AnswerPolicy.parse("round:1"), fixed_logits(4)(marked) / 4)
    told, rows = Watermark(KEY).alter(marked, true)
    assert 0 < len(rows) < len(marked)
    changed = told.top1() != true.top1()
    assert np.flatnonzero(changed).tolist() == rows.tolist()


@pytest.mark.parametrize("rate", [0.0, -0.1, 0.006, float("nan")])
def test_more_than_one_answer_in_two_hundred_is_never_altered(rate: float) -> None:
    with pytest.raises(UsageError, match="of the answers"):
        Watermark(KEY, rate)


def test_a_victim_of_one_class_has_no_other_answer() -> None:
    with pytest.raises(UsageError, match="one class"):
        Watermark(KEY).shifts(varied(3), 1)


# --- keys


def test_a_key_is_its_owners_alone(tmp_path: Path) -> None:
    place = tmp_path / "owner.key"
    key = make_key(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert len(key) == KEY_BYTES
    assert read_key(place) == key
    assert key.hex() not in fingerprint(key)
    with pytest.raises(UsageError, match="exists already"):
        make_key(place)
    assert read_key(place) == key


@pytest.mark.parametrize("content", [b"", b"abc", b"zz" * 32, b"\xff\xfe" * 32, b"ab" * 31])
def test_what_is_no_key_is_told(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "owner.key"
    place.write_bytes(content)
    place.chmod(0o600)
    with pytest.raises(UsageError):
        read_key(place)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "owner.key"
    make_key(place)
    place.chmod(0o644)
    with pytest.raises(UsageError, match="read by others") as caught:
        read_key(place)
    assert "chmod 600" in str(caught.value.hint)
    with pytest.raises(UsageError, match="cannot read key"):
        read_key(tmp_path / "none.key")
