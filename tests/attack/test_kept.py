"""Copycats that are kept: an equal lesson is not learnt twice, another one is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from victims_in_process import answer

from attack.copycat import Copycat, Lesson
from attack.kept import KeepingTrainer, lesson_digest
from foundation.answers import AnswerPolicy
from victim.dataset import Dataset, Split

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 1), dtype=np.uint8)
LABELS = (np.arange(24) % 2).astype(np.int64)
PART = Split(IMAGES, LABELS, np.arange(24))
DATASET = Dataset("stripes", ("even", "odd"), PART, PART, PART, PART)


def lesson(labels: NDArray[np.int64] = LABELS, policy: str = "label") -> Lesson:
    """Of a victim that is sure of every answer."""
    logits = 50 * np.eye(2, dtype=np.float32)[labels]
    return Lesson(((IMAGES, answer(AnswerPolicy.parse(policy), logits)),), effort=0.02)


def taught(folder: Path, *lessons: Lesson, learner: str = "supervised") -> list[Copycat]:
    with KeepingTrainer(folder, DATASET, 1) as trainer:
        return [trainer.submit(one, "plain", 0, learner).result() for one in lessons]


def weights(copycat: Copycat) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in copycat.network.state_dict().values()])


def test_an_equal_lesson_is_not_learnt_twice(tmp_path: Path) -> None:
    first, again = taught(tmp_path, lesson(), lesson(LABELS.copy()))
    assert first.seconds == again.seconds
    torch.testing.assert_close(weights(first), weights(again), rtol=0, atol=0)
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_kept_outlives_the_trainer(tmp_path: Path) -> None:
    (first,), (again,) = (taught(tmp_path, lesson()) for _ in range(2))
    assert first.seconds == again.seconds


@pytest.mark.parametrize(
    "other",
    [
        lesson(1 - LABELS),
        # What a thief of scores learns from is not what one of labels does, even where both say the same.
        lesson(policy="scores"),
        replace(lesson(), effort=0.03),
        replace(lesson(), varies=True),
        Lesson((*lesson().parts, *lesson().parts), effort=0.02),
    ],
    ids=["labels", "scores", "effort", "varies", "parts"],
)
def test_another_lesson_is_learnt(other: Lesson) -> None:
    assert lesson_digest(other, "plain", 0) != lesson_digest(lesson(), "plain", 0)


def test_architecture_and_seed_make_another_copycat() -> None:
    assert len({lesson_digest(lesson(), name, seed) for name in ("plain", "stacked") for seed in (0, 1)}) == 4


def test_a_torn_checkpoint_is_made_anew(tmp_path: Path) -> None:
    (first,) = taught(tmp_path, lesson())
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:1000])
    (again,) = taught(tmp_path, lesson())
    torch.testing.assert_close(weights(first), weights(again), rtol=0, atol=0)


def test_a_semi_supervised_copycat_is_not_kept(tmp_path: Path) -> None:
    taught(tmp_path, lesson(), learner="semi")
    assert not list(tmp_path.iterdir())
