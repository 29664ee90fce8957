"""A thief's walk again, from its ledger alone."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import KnownVictim, fixed_logits, numbered_images

from attack.copycat import Copycat, CopycatTrainer, Lesson
from attack.extraction import ThiefSettings, extract
from attack.ledger import AttackIdentity, Ledger
from attack.pools import Pool
from attack.replay import replay
from attack.strategies import Strategy, find_strategy
from foundation.answers import AnswerPolicy, Answers, concatenate
from foundation.errors import DataError, DeviceError

pytestmark = pytest.mark.timeout(120)


def pool_of(images: NDArray[np.uint8]) -> Pool:
    return Pool("mine", len(images), lambda rows: images[rows], lambda _: "mine")


LARGE, FEW = pool_of(numbered_images(700)), pool_of(numbered_images(30, 5000))
WALKS = {
    "random": [LARGE],
    "amplify": [FEW],
    "entropy": [LARGE],
    "knockoff": [LARGE],
    "jbda": [LARGE],
    "random+amplify": [LARGE, FEW],
    "datafree": [FEW],
}


class NoTrainer(CopycatTrainer):
    def submit(self, lesson: Lesson, *_: object) -> Future[Copycat]:
        return Future()


def settings_of(strategy: str, budget: int = 420, seed: int = 0) -> ThiefSettings:
    return ThiefSettings("mine", strategy, "plain", (budget,), seed, "d" * 64, effort=0.02)


def strategy_of(settings: ThiefSettings) -> Strategy:
    pools = WALKS[settings.strategy]
    return find_strategy(settings.strategy, pools, settings.budgets[-1], settings.seed, settings.architecture)


def steal(path: Path, settings: ThiefSettings, policy: str = "label", fails_at: int | None = None) -> KnownVictim:
    victim = KnownVictim(fixed_logits(3), 3, AnswerPolicy.parse(policy), fails_at=fails_at)
    with Ledger(path) as ledger:
        list(extract(victim, strategy_of(settings), ledger, settings, NoTrainer(1)))
    return victim


def again(path: Path, settings: ThiefSettings, **others: int) -> tuple[NDArray[np.uint8], Answers]:
    with Ledger(path) as ledger:
        (identity,) = ledger.attacks()
        parts = list(replay(ledger, identity, strategy_of(settings), (16, 16, 1), 3, **others))
    return np.concatenate([images for images, _ in parts]), concatenate([answers for _, answers in parts])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.mark.parametrize("strategy", WALKS)
def test_a_replay_is_the_walk_image_by_image(path: Path, strategy: str) -> None:
    settings = settings_of(strategy)
    victim = steal(path, settings, "scores")
    images, answers = again(path, settings, at_once=64)
    assert np.array_equal(images, np.concatenate(victim.asked))
    expected = victim.policy.apply(victim.logits(images))
    assert np.array_equal(answers.labels, expected[0])
    assert np.array_equal(answers.scores, expected[1])
    assert len(images) == 420


def test_a_walk_that_was_broken_off_is_replayed_to_where_it_got(path: Path) -> None:
    settings = settings_of("amplify", 6000)
    with pytest.raises(DeviceError):
        steal(path, settings, fails_at=2)
    with Ledger(path) as ledger:
        held = len(ledger.attack(ledger.attacks()[0], 3))
    images, _ = again(path, settings)
    assert 0 < held < 6000
    assert len(images) == held


def test_a_pool_smaller_than_the_budget_is_replayed_to_its_end(path: Path) -> None:
    settings = settings_of("jbda", 2000)
    WALKS["jbda"], before = [pool_of(np.zeros((3, 16, 16, 1), np.uint8))], WALKS["jbda"]
    try:
        victim = steal(path, settings)
        images, _ = again(path, settings)
    finally:
        WALKS["jbda"] = before
    assert np.array_equal(images, np.concatenate(victim.asked))


def test_a_replay_writes_nothing(path: Path) -> None:
    settings = settings_of("datafree")
    steal(path, settings)
    with sqlite3.connect(path) as database:
        before = list(database.iterdump())
    again(path, settings)
    with sqlite3.connect(path) as database:
        assert list(database.iterdump()) == before


@pytest.mark.parametrize("change", ["UPDATE queries SET image = zeroblob(16) WHERE position = 200", "another seed"])
def test_another_walk_is_told(path: Path, change: str) -> None:
    steal(path, settings_of("random"))
    seed = 0
    if change.startswith("UPDATE"):
        with sqlite3.connect(path) as database:
            database.execute(change)
    else:
        seed = 1
    with pytest.raises(DataError, match="another walk") as caught:
        again(path, settings_of("random", seed=seed))
    assert "settings it was made with" in str(caught.value.hint)


def test_a_round_that_is_not_in_the_notes_is_told(path: Path) -> None:
    steal(path, settings_of("entropy"))
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM notes WHERE key LIKE '%round 1'")
    with pytest.raises(DataError, match="another walk"):
        again(path, settings_of("entropy"))


def test_a_strategy_that_ends_before_the_ledger_does_is_told(path: Path) -> None:
    settings = settings_of("random")
    steal(path, settings)
    shorter = pool_of(LARGE.take(np.arange(700)))
    strategy = find_strategy("random", [shorter], 420, 0)
    with Ledger(path) as ledger:
        walked = replay(ledger, ledger.attacks()[0], _Ending(strategy, 100), (16, 16, 1), 3, at_once=50)
        with pytest.raises(DataError, match="ends after 100 of 420"):
            list(walked)


class _Ending(Strategy):
    """Another strategy that ends after so many images."""

    def __init__(self, inner: Strategy, most: int) -> None:
        self.inner, self.left = inner, most

    def propose(self, state):  # type: ignore[no-untyped-def]
        found = self.inner.propose(state)
        if self.left <= 0:
            return type(found)(found.images[:0], [])
        self.left -= len(found.images)
        return found


def test_an_unknown_thief_and_an_empty_one_are_told(path: Path) -> None:
    steal(path, settings_of("random"))
    with Ledger(path) as ledger:
        known = ledger.attacks()[0]
        unknown = AttackIdentity(known.victim, known.policy, "nobody")
        with pytest.raises(DataError, match="no thief"):
            list(replay(ledger, unknown, strategy_of(settings_of("random")), (16, 16, 1), 3))
        ledger.attack(unknown, 3)
        assert list(replay(ledger, unknown, strategy_of(settings_of("random")), (16, 16, 1), 3)) == []
