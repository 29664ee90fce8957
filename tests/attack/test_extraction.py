"""The attack whole, against a victim in process: it learns, it resumes, it ends."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from victims_in_process import KnownVictim, answer, brighter_half, fixed_logits, half_images, numbered_images

import attack.copycat
from attack.copycat import Copycat, CopycatTrainer, Lesson, train_copycat
from attack.extraction import Theft, ThiefSettings, extract
from attack.fidelity import measure_fidelity
from attack.hashes import image_hash
from attack.ledger import Ledger
from attack.pools import Pool
from attack.strategies import find_strategy
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError, DeviceError, ExitCode, UsageError
from victim.step import TrainingSettings
from victim.training import Fitted, predict

pytestmark = pytest.mark.timeout(120)


class WatchedTrainer(CopycatTrainer):
    """Keeps the training sets that it is given and trains nothing."""

    def __init__(self) -> None:
        super().__init__(1)
        self.sets: list[tuple[NDArray[np.uint8], Answers]] = []

    def submit(self, lesson: Lesson, architecture: str, seed: int, learner: str = "supervised") -> Future[Copycat]:
        (part,) = lesson.parts
        self.sets.append(part)
        return Future()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def pool_of(images: NDArray[np.uint8]) -> Pool:
    return Pool("mine", len(images), lambda rows: images[rows], lambda _: "mine")


NOISE = pool_of(numbered_images(1500))
FEW = pool_of(numbered_images(30))


def thief(*budgets: int, strategy: str = "random", seed: int = 0) -> ThiefSettings:
    return ThiefSettings("mine", strategy, "plain", budgets, seed, "d" * 64)


def steal(
    victim: KnownVictim,
    pool: Pool,
    ledger: Ledger,
    settings: ThiefSettings,
    trainer: CopycatTrainer,
    wanted: set[int] | None = None,
) -> list[Theft]:
    strategy = find_strategy(settings.strategy, [pool], settings.budgets[-1], settings.seed)
    return list(extract(victim, strategy, ledger, settings, trainer, wanted=wanted))


def labels(copycat: Copycat, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    return predict(copycat.network, images).argmax(1).astype(np.int64)


# --- learning


def test_a_copycat_learns_an_easy_victim(ledger: Ledger) -> None:
    victim = KnownVictim(brighter_half)
    with CopycatTrainer(1) as trainer:
        (theft,) = steal(victim, pool_of(half_images(400, 1)), ledger, thief(300), trainer)
        copycat = theft.copycat.result(100)
    test = half_images(500, 2)
    theirs = brighter_half(test).argmax(1)
    fidelity = measure_fidelity(labels(copycat, test), theirs, theirs).fidelity
    assert fidelity > 0.9
    assert (theft.budget, theft.queries, theft.device_queries, victim.count) == (300, 300, 300, 300)
    assert theft.answer_histogram.sum() == 300
    assert theft.device_seconds == pytest.approx(ledger.attack(thief(300).identity(victim), 2).device_seconds)
    assert copycat.seconds > 0
    assert not copycat.network.training


def test_one_seed_gives_one_thief_bit_for_bit(tmp_path: Path) -> None:
    """Also where two copycats are trained side by side, and the order in which they end is chance."""
    test, found = half_images(200, 3), []
    for run in range(2):
        with Ledger(tmp_path / f"{run}.sqlite") as ledger, CopycatTrainer(2) as trainer:
            victim = KnownVictim(brighter_half)
            thefts = steal(victim, pool_of(half_images(20, 1)), ledger, thief(60, 90, strategy="amplify"), trainer)
            logits = [predict(theft.copycat.result(100).network, test) for theft in thefts]
        found.append((np.concatenate(victim.asked), *logits))
    for first, second in zip(*found, strict=True):
        assert np.array_equal(first, second)


def test_another_seed_gives_another_thief() -> None:
    images = half_images(40, 1)
    answers = answer(AnswerPolicy("label"), brighter_half(images))
    settings = TrainingSettings(epochs=2, batch=16)
    one, other = (train_copycat(Lesson(((images, answers),)), "plain", seed, settings=settings) for seed in (0, 1))
    assert not np.array_equal(predict(one.network, images), predict(other.network, images))


def test_the_trainer_gives_torch_its_threads_back() -> None:
    before = torch.get_num_threads()
    with CopycatTrainer(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_victim_that_answers_one_class_only_can_be_copied(ledger: Ledger) -> None:
    def always_second(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.tile(np.array([0, 4, 1], np.float32), (len(images), 1))

    with CopycatTrainer(1) as trainer:
        (theft,) = steal(KnownVictim(always_second, 3), NOISE, ledger, thief(60), trainer)
        copycat = theft.copycat.result(100)
    assert theft.answer_histogram.tolist() == [0, 60, 0]
    test = numbered_images(50, 5000)
    found = measure_fidelity(labels(copycat, test), np.ones(50, np.int64), np.arange(50) % 3)
    assert found.fidelity == 1.0


@pytest.mark.parametrize("budget", [1, 2, 33])
def test_the_smallest_budgets_train_a_copycat_too(ledger: Ledger, budget: int) -> None:
    with CopycatTrainer(1) as trainer:
        (theft,) = steal(KnownVictim(fixed_logits(2)), NOISE, ledger, thief(budget), trainer)
        copycat = theft.copycat.result(100)
    assert theft.queries == budget
    assert np.isfinite(predict(copycat.network, numbered_images(4))).all()


@pytest.mark.parametrize("policy", ["label", "topk:2", "scores"])
def test_a_copycat_is_trained_on_all_that_the_policy_lets_out(
    ledger: Ledger, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[NDArray[np.uint8], NDArray[np.float32], TrainingSettings]] = []
    real = attack.copycat.fit

    def watched(
        network: torch.nn.Module,
        images: NDArray[np.uint8],
        targets: NDArray[np.float32],
        settings: TrainingSettings,
        generator: torch.Generator,
        **kept: object,
    ) -> Fitted:
        seen.append((images, targets, settings))
        quick = TrainingSettings(epochs=1, batch=20)
        return real(network, images, targets, quick, generator, **kept)  # type: ignore[arg-type]

    monkeypatch.setattr(attack.copycat, "fit", watched)
    victim = KnownVictim(fixed_logits(4), 4, AnswerPolicy.parse(policy))
    with CopycatTrainer(1) as trainer:
        (theft,) = steal(victim, NOISE, ledger, thief(40), trainer)
        theft.copycat.result(100)
    images, targets, settings = seen[0]
    # Answers are exact: what softens them only blurs.
    assert (settings.label_smoothing, settings.mixup) == (0, 0)
    logits = fixed_logits(4)(images)
    shown = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    order = np.argsort(-logits, axis=1)
    rows = np.arange(40)[:, None]
    if policy == "label":
        expected = np.eye(4)[order[:, 0]]
    elif policy == "topk:2":
        expected = np.repeat((1 - shown[rows, order[:, :2]].sum(axis=1, keepdims=True)) / 2, 4, axis=1)
        expected[rows, order[:, :2]] = shown[rows, order[:, :2]]
    else:
        expected = shown
    assert np.array_equal(images, np.concatenate(victim.asked))
    assert np.allclose(targets, expected, atol=1e-6)


def test_a_semi_supervised_thief_gets_images_that_nobody_asked_about(ledger: Ledger) -> None:
    lessons: list[Lesson] = []

    class Listening(CopycatTrainer):
        def submit(self, lesson: Lesson, *_: object) -> Future[Copycat]:
            lessons.append(lesson)
            return Future()

    victim = KnownVictim(fixed_logits(2))
    steal(victim, NOISE, ledger, thief(1400), Listening(1))
    (lesson,) = lessons
    assert lesson.unlabelled is not None
    others = lesson.unlabelled(1000)
    asked = {image_hash(image) for image in np.concatenate(victim.asked)}
    assert len(others) == 100
    assert not asked & {image_hash(image) for image in others}


# --- budgets


def test_each_budget_is_met_exactly_and_holds_the_ones_before(ledger: Ledger) -> None:
    victim, trainer = KnownVictim(fixed_logits(2)), WatchedTrainer()
    thefts = steal(victim, NOISE, ledger, thief(100, 700, 1300), trainer)
    assert [(t.budget, t.queries, t.device_queries) for t in thefts] == [
        (100, 100, 100),
        (700, 700, 700),
        (1300, 1300, 1300),
    ]
    sizes = [len(images) for images, _ in trainer.sets]
    assert sizes == [100, 700, 1300]
    for (fewer, _), (more, _) in zip(trainer.sets, trainer.sets[1:], strict=False):
        assert np.array_equal(more[: len(fewer)], fewer)
    images, answers = trainer.sets[-1]
    assert answers.top1().tolist() == victim.logits(images).argmax(1).tolist()
    assert thefts[-1].seconds_query >= thefts[0].seconds_query > 0


def test_a_budget_that_is_not_wanted_is_asked_but_not_trained(ledger: Ledger) -> None:
    victim, trainer = KnownVictim(fixed_logits(2)), WatchedTrainer()
    thefts = steal(victim, NOISE, ledger, thief(50, 600, 900), trainer, {600})
    assert [theft.budget for theft in thefts] == [600]
    assert [len(images) for images, _ in trainer.sets] == [600]
    assert victim.count == 900


@pytest.mark.parametrize("budgets", [(), (0,), (-5, 10), (100, 100), (200, 100)])
def test_budgets_must_ascend_from_one(budgets: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="ascending") as caught:
        thief(*budgets)
    assert caught.value.exit_code == ExitCode.USAGE


def test_every_part_of_a_thief_keeps_its_queries_apart() -> None:
    victim = KnownVictim(fixed_logits(2))
    soft = KnownVictim(fixed_logits(2), policy=AnswerPolicy("scores"))
    other = KnownVictim(fixed_logits(2), identity="cd" * 32)
    settings = [
        thief(5),
        thief(5, seed=1),
        thief(5, strategy="amplify"),
        ThiefSettings("npd", "random", "plain", (5,), 0, "d" * 64),
        ThiefSettings("mine", "random", "plain", (5,), 0, "e" * 64),
    ]
    identities = [one.identity(victim) for one in settings] + [thief(5).identity(soft), thief(5).identity(other)]
    assert len(set(identities)) == len(identities)
    # Larger budgets and other copycats of the same thief use the same answers.
    assert ThiefSettings("mine", "random", "mobile", (5, 9), 0, "d" * 64).identity(victim) == identities[0]


# --- interrupted


@pytest.mark.parametrize("strategy", ["random", "amplify"])
@pytest.mark.parametrize("policy", ["label", "scores"])
def test_an_attack_that_is_broken_off_resumes_to_the_same_training_sets(
    tmp_path: Path, strategy: str, policy: str
) -> None:
    pool = NOISE if strategy == "random" else FEW
    parsed, settings = AnswerPolicy.parse(policy), thief(300, 600, 900, 1200, 1400, strategy=strategy)
    whole = WatchedTrainer()
    with Ledger(tmp_path / "whole.sqlite") as ledger:
        unbroken = KnownVictim(fixed_logits(3), 3, parsed)
        steal(unbroken, pool, ledger, settings, whole)
        order = ledger.attack(settings.identity(unbroken), 3).images()
    asked = []
    for fails_at in (2, 1, 3, None):
        # Every session opens the file anew, as another process would.
        trainer = WatchedTrainer()
        victim = KnownVictim(fixed_logits(3), 3, parsed, fails_at=fails_at)
        with Ledger(tmp_path / "broken.sqlite") as ledger:
            if fails_at is None:
                steal(victim, pool, ledger, settings, trainer)
            else:
                with pytest.raises(DeviceError):
                    steal(victim, pool, ledger, settings, trainer)
            resumed_order = ledger.attack(settings.identity(victim), 3).images()
        asked += victim.asked
    assert resumed_order == order
    assert len(set(order)) == len(order) == 1400
    assert [image_hash(image) for image in np.concatenate(asked)] == order
    for (images, answers), (images_again, answers_again) in zip(whole.sets, trainer.sets, strict=True):
        assert np.array_equal(images, images_again)
        assert np.array_equal(answers.targets(), answers_again.targets())


def test_a_finished_attack_asks_the_device_nothing_again(ledger: Ledger) -> None:
    settings = thief(200, 600)
    steal(KnownVictim(fixed_logits(2)), NOISE, ledger, settings, WatchedTrainer())
    victim, trainer = KnownVictim(fixed_logits(2)), WatchedTrainer()
    thefts = steal(victim, NOISE, ledger, settings, trainer)
    assert victim.calls == 0
    assert [(theft.queries, theft.device_queries) for theft in thefts] == [(200, 0), (600, 0)]


def test_a_larger_budget_goes_on_from_the_ledger(ledger: Ledger) -> None:
    steal(KnownVictim(fixed_logits(2)), NOISE, ledger, thief(200), WatchedTrainer())
    victim = KnownVictim(fixed_logits(2))
    (theft,) = steal(victim, NOISE, ledger, thief(700), WatchedTrainer())
    assert (victim.count, theft.queries, theft.device_queries) == (500, 700, 500)


# --- running out


@pytest.mark.timeout(30)
def test_amplifying_a_black_picture_ends(ledger: Ledger) -> None:
    black = pool_of(np.zeros((3, 16, 16, 1), np.uint8))
    victim, trainer = KnownVictim(fixed_logits(2)), WatchedTrainer()
    (theft,) = steal(victim, black, ledger, thief(5000, strategy="amplify"), trainer)
    # Brightness moves black by at most 0.17 of 255 levels.
    assert 2 <= theft.queries <= 45
    assert theft.queries == victim.count == len(trainer.sets[0][0])


def test_a_pool_of_repeated_pictures_ends_below_the_budget(ledger: Ledger) -> None:
    repeated = pool_of(np.repeat(numbered_images(3), 400, axis=0))
    victim = KnownVictim(fixed_logits(2))
    thefts = steal(victim, repeated, ledger, thief(2, 1000), WatchedTrainer())
    assert [theft.queries for theft in thefts] == [2, 3]
    assert victim.count == 3


def test_a_strategy_that_proposes_nothing_is_told(ledger: Ledger) -> None:
    strategy = find_strategy("random", [pool_of(numbered_images(1))], 1, 0)
    strategy._next = 1  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="no image at all"):
        list(extract(KnownVictim(fixed_logits(2)), strategy, ledger, thief(10), WatchedTrainer()))
