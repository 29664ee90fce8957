"""What a victim refuses is paid for, counted nowhere as an answer, and teaches nothing; labels out of scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from victims_in_process import KnownVictim, answer, brighter_half, half_images

from attack.copycat import CopycatTrainer, Lesson, train_copycat
from attack.extraction import ThiefSettings, extract
from attack.ledger import Ledger
from attack.paid import examples
from attack.pools import Pool
from attack.strategies import find_strategy
from foundation.answers import AnswerPolicy
from victim.step import TrainingSettings
from victim.training import predict

IMAGES = half_images(200, 0)
SHORT = TrainingSettings(epochs=2, batch=32, patience=None, mixup=0.0, label_smoothing=0.0, augmented=False)
# `brighter_half` is this sure of about half of the images.
CONFIDENT = AnswerPolicy.parse("confident:0.999999")


def lesson(policy: AnswerPolicy, images: NDArray[np.uint8] = IMAGES) -> Lesson:
    return Lesson(((images, answer(policy, brighter_half(images), images)),))


def test_some_are_refused_and_some_are_not() -> None:
    refused = lesson(CONFIDENT).parts[0][1].refused
    assert 0.2 < refused.mean() < 0.8


def test_a_thief_learns_from_answers_alone_not_from_refusals() -> None:
    whole = lesson(CONFIDENT)
    answers = whole.parts[0][1]
    without = Lesson(((IMAGES[~answers.refused], answers.select(~answers.refused)),))
    assert 0 < answers.refused.sum() < len(IMAGES)
    copies = [train_copycat(told, "plain", 3, settings=SHORT).network for told in (whole, without)]
    np.testing.assert_array_equal(*(predict(network, IMAGES[:20]) for network in copies))


@pytest.mark.parametrize("learner", ["supervised", "semi"])
def test_a_thief_that_is_refused_everything_has_a_network_that_learnt_nothing(learner: str) -> None:
    logits = np.zeros((len(IMAGES), 3), np.float32)
    refusals = Lesson(((IMAGES, answer(AnswerPolicy.parse("confident:0.9"), logits)),), lambda count: IMAGES[:count])
    copycat = train_copycat(refusals, "plain", 3, learner=learner)
    untouched = train_copycat(refusals, "plain", 3).network
    assert not copycat.network.training
    assert copycat.seconds == 0
    np.testing.assert_array_equal(predict(copycat.network, IMAGES[:5]), predict(untouched, IMAGES[:5]))


def test_refusals_are_paid_for_and_stand_in_no_histogram(tmp_path: Path) -> None:
    victim = KnownVictim(brighter_half, policy=CONFIDENT)
    pool = Pool("mine", len(IMAGES), lambda rows: IMAGES[rows], lambda _: "mine")
    settings = ThiefSettings("mine", "random", "plain", (100,), 0, "d" * 64, effort=0.02)
    with Ledger(tmp_path / "ledger") as ledger, CopycatTrainer(1) as trainer:
        (theft,) = extract(victim, find_strategy("random", [pool], 100, 0), ledger, settings, trainer)
        theft.copycat.result()
    assert theft.queries == victim.count == 100
    images = np.concatenate(victim.asked)
    answers = answer(CONFIDENT, brighter_half(images), images)
    told = answers.top1()[~answers.refused]
    assert theft.answer_histogram.tolist() == np.bincount(told, minlength=2).tolist()
    assert 0 < len(told) < 100


def test_examples_show_what_was_answered() -> None:
    images, named = examples(lesson(CONFIDENT).parts, 500)
    answers = lesson(CONFIDENT).parts[0][1]
    assert len(images) == len(named) == int((~answers.refused).sum())


def test_both_thieves_learn_from_the_same_images() -> None:
    told = lesson(CONFIDENT)
    hard = told.hardened()
    (images, answers), (kept, labels) = told.answered().parts[0], hard.parts[0]
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_array_equal(answers.top1(), labels.top1())
    assert str(labels.policy) == "label"
    assert labels.scores is None
    assert not labels.refused.any()


def test_a_lesson_without_refusals_is_not_copied() -> None:
    told = lesson(AnswerPolicy("scores"))
    assert told.answered().parts[0][0] is told.parts[0][0]


def test_hard_labels_of_scores_teach_what_labels_teach() -> None:
    torch.manual_seed(0)
    copies = [
        train_copycat(told, "plain", 1, settings=SHORT).network
        for told in (lesson(AnswerPolicy("label")), lesson(AnswerPolicy("scores")).hardened())
    ]
    np.testing.assert_array_equal(*(predict(network, IMAGES[:20]) for network in copies))
