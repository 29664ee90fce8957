"""A thief that also learns from what it never asked about."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from victims_in_process import answer, brighter_half, half_images, numbered_images

from attack.copycat import Lesson, train_copycat
from attack.hashes import image_hashes
from attack.npd import generate
from attack.pools import Pool, find_pool
from attack.semi import SemiSettings, fit_semi
from attack.strategies.amplify import grown
from attack.unqueried import unqueried
from foundation.answers import AnswerPolicy
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Advance
from victim.dataset import Dataset
from victim.models import build
from victim.step import TrainingSettings
from victim.training import fit, one_hot, predict

pytestmark = pytest.mark.timeout(120)

TEST = half_images(600, 2)
QUICK = TrainingSettings(epochs=6, batch=16, mixup=0.0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Told:
    """Progress that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Advance]:
        return SILENT.task(description, total)

    def say(self, message: str) -> None:
        self.said.append(message)


def lesson(queried: int = 40, policy: str = "label", unlabelled: NDArray[np.uint8] | None = None) -> Lesson:
    images = half_images(queried, 1)
    rest = half_images(400, 5) if unlabelled is None else unlabelled
    return Lesson(((images, answer(AnswerPolicy.parse(policy), brighter_half(images))),), lambda count: rest[:count])


def fidelity(network: nn.Module) -> float:
    return float((predict(network, TEST).argmax(1) == brighter_half(TEST).argmax(1)).mean())


# --- learning


@pytest.mark.parametrize("policy", ["label", "scores"])
def test_it_learns_an_easy_victim(policy: str) -> None:
    copycat = train_copycat(lesson(policy=policy), "plain", 0, learner="semi", settings=QUICK)
    assert fidelity(copycat.network) > 0.85
    assert not copycat.network.training
    assert copycat.seconds > 0


def test_what_it_never_asked_about_decides_what_it_becomes() -> None:
    trained = [
        train_copycat(lesson(unlabelled=rest), "plain", 0, learner="semi", settings=QUICK).network
        for rest in (half_images(400, 5), numbered_images(400))
    ]
    assert not np.array_equal(*(predict(network, TEST) for network in trained))


def test_one_seed_gives_one_thief_bit_for_bit() -> None:
    one, other = (train_copycat(lesson(), "plain", 3, learner="semi", settings=QUICK) for _ in range(2))
    assert np.array_equal(predict(one.network, TEST), predict(other.network, TEST))


def test_images_that_no_one_is_sure_of_do_not_count() -> None:
    images = half_images(40, 1)
    targets = one_hot(brighter_half(images).argmax(1).astype(np.int64), 2)
    networks = []
    for weight in (0.0, 100.0):
        network, generator = build("plain", 1, 2, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(0)
        semi = SemiSettings(weight=weight, threshold=1.01)
        fit_semi(network, images, targets, lambda _: numbered_images(50), QUICK, generator, semi=semi)
        networks.append(network)
    assert np.array_equal(*(predict(network, TEST) for network in networks))


# --- nothing left to learn from


@pytest.mark.parametrize("missing", ["no source", "an empty one"])
def test_where_every_image_was_asked_about_it_is_supervised_and_says_so(missing: str) -> None:
    whole = lesson()
    without = Lesson(whole.parts, None if missing == "no source" else lambda _: np.empty((0, 16, 16, 1), np.uint8))
    told = Told()
    semi = train_copycat(without, "plain", 0, learner="semi", settings=QUICK, progress=told)
    supervised = train_copycat(without, "plain", 0, settings=QUICK)
    assert np.array_equal(predict(semi.network, TEST), predict(supervised.network, TEST))
    assert any("every image of the pool was asked about" in line for line in told.said)


@pytest.mark.parametrize("queried", [1, 2, 17])
def test_the_smallest_lessons_can_be_learnt(queried: int) -> None:
    copycat = train_copycat(lesson(queried, unlabelled=half_images(3, 5)), "plain", 0, learner="semi", settings=QUICK)
    assert np.isfinite(predict(copycat.network, TEST)).all()


def test_a_victim_that_answers_one_class_only_is_copied() -> None:
    images = half_images(40, 1)
    always = answer(AnswerPolicy("label"), np.tile(np.array([0, 4, 1], np.float32), (40, 1)))
    one = Lesson(((images, always),), lambda count: half_images(100, 5)[:count])
    copycat = train_copycat(one, "plain", 0, learner="semi", settings=QUICK)
    assert (predict(copycat.network, TEST).argmax(1) == 1).all()


def test_of_several_parts_only_the_last_has_images_without_answers() -> None:
    asked = []

    def rest(count: int) -> NDArray[np.uint8]:
        asked.append(count)
        return half_images(50, 5)

    (part,) = lesson().parts
    train_copycat(Lesson((part, part), rest), "plain", 0, learner="semi", settings=QUICK)
    assert len(asked) == 1
    assert asked[0] > 0


def test_a_loss_that_is_no_number_is_told() -> None:
    images = half_images(40, 1)
    targets = one_hot(brighter_half(images).argmax(1).astype(np.int64), 2)
    network, generator = build("plain", 1, 2, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(0)
    semi = SemiSettings(weight=float("nan"), threshold=0.0)
    with pytest.raises(DataError, match="no longer a number"):
        fit_semi(network, images, targets, lambda _: half_images(50, 5), QUICK, generator, semi=semi)


def test_an_unknown_learner_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="unknown learner 'semisupervised'") as caught:
        train_copycat(lesson(), "plain", 0, learner="semisupervised")
    assert "semi" in (caught.value.hint or "")


# --- what was not asked about


def pool_of(images: NDArray[np.uint8]) -> Pool:
    return Pool("mine", len(images), lambda rows: images[rows], lambda _: "mine")


def test_of_a_finite_pool_come_images_that_were_not_asked_about_each_once() -> None:
    images = numbered_images(50)
    rest = unqueried([pool_of(images)], [images[:20], images[30:40]], 100, 0)
    assert sorted(image_hashes(rest)) == sorted(image_hashes(np.concatenate([images[20:30], images[40:]])))
    some = unqueried([pool_of(images)], [images[:20]], 7, 0)
    assert len(some) == 7
    assert set(image_hashes(some)) <= set(image_hashes(images[20:]))
    assert not np.array_equal(some, unqueried([pool_of(images)], [images[:20]], 7, 1))


def test_of_a_pool_asked_about_whole_comes_nothing() -> None:
    images = numbered_images(20)
    assert unqueried([pool_of(images)], [images], 5, 0).shape == (0, 16, 16, 1)


def test_of_a_pool_without_end_come_images_that_no_attack_asks_about(dataset: Dataset) -> None:
    npd = find_pool("npd", dataset, 0)
    rest = unqueried([npd], [], 60, 0)
    assert rest.shape == (60, 16, 16, 1)
    assert not set(image_hashes(rest)) & set(image_hashes(generate(0, 2000, 0, (16, 16, 1))))
    amplified = grown(pool_of(half_images(10, 0)), 1000, 0)
    rest = unqueried([amplified], [], 300, 0)
    assert len(set(image_hashes(rest))) == 300
    assert not set(image_hashes(rest)) & set(image_hashes(amplified.take(np.arange(2000))))


def test_of_several_pools_the_last_gives_first() -> None:
    first, last = numbered_images(30), numbered_images(10, 100)
    pools = [pool_of(first), pool_of(last)]
    rest = image_hashes(unqueried(pools, [first[:5], last[:4]], 20, 0))
    assert set(rest[:6]) == set(image_hashes(last[4:]))
    assert len(rest) == len(set(rest)) == 20
    assert set(rest[6:]) <= set(image_hashes(first[5:]))


def test_the_first_step_is_supervised_training() -> None:
    """A semi-supervised thief is what the supervised one would have been, and then more."""
    images = half_images(40, 1)
    targets = one_hot(brighter_half(images).argmax(1).astype(np.int64), 2)
    networks = []
    for extra in (False, True):
        network, generator = build("plain", 1, 2, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(0)
        if extra:
            semi = SemiSettings(rate=1e-9)
            fit_semi(network, images, targets, lambda _: half_images(50, 5), QUICK, generator, semi=semi)
        else:
            fit(network, images, targets, QUICK, generator)
        networks.append(dict(network.named_parameters()))
    for name, parameter in networks[0].items():
        assert torch.allclose(parameter, networks[1][name], atol=1e-5)
