"""Data-free extraction: it finds an easy victim's border from nothing, and walks one way."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from victims_in_process import KnownVictim, answer, brighter_half, half_images, numbered_images
from walks import Notebook, Walk, pool_of, untrained

from attack.copycat import CopycatTrainer
from attack.extraction import Theft, ThiefSettings, extract
from attack.ledger import Ledger
from attack.pools import Pool
from attack.strategies.datafree import DataFreeStrategy
from attack.strategies.disguide import Disguide, DisguideSettings
from attack.strategies.generator import Generator
from attack.strategies.replay import Replay
from foundation.answers import AnswerPolicy
from foundation.errors import DeviceError
from victim.training import predict

pytestmark = pytest.mark.timeout(120)

POOL = pool_of(numbered_images(1))
TEST = half_images(500, 2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def walk(*counts: int, seed: int = 0, policy: str = "label", notes: Notebook | None = None, pool: Pool = POOL) -> Walk:
    victim = KnownVictim(brighter_half, policy=AnswerPolicy.parse(policy))
    known = Notebook() if notes is None else notes
    return Walk(DataFreeStrategy(pool, sum(counts), seed), victim, untrained, known).go(counts)


def fidelity(network: nn.Module | None) -> float:
    assert network is not None
    assert not network.training
    return float((predict(network, TEST).argmax(1) == brighter_half(TEST).argmax(1)).mean())


@pytest.mark.parametrize("policy", ["label", "scores"])
def test_it_copies_an_easy_victim_without_an_image(policy: str) -> None:
    assert fidelity(walk(*[256] * 14, policy=policy).strategy.copycat()) > 0.85


def test_images_are_proposed_in_one_order_however_many_are_asked_for_at_once() -> None:
    whole = walk(*[256] * 5)
    assert whole.images.shape == (1280, 16, 16, 1)
    assert whole.images.dtype == np.uint8
    pieces = walk(*[100] * 15)
    assert np.array_equal(pieces.images, whole.images)
    assert len(set(whole.hashes)) > 1270


def test_the_seed_alone_decides() -> None:
    torch.manual_seed(1)
    first = walk(*[256] * 3)
    torch.manual_seed(2)
    assert np.array_equal(walk(*[256] * 3).images, first.images)
    other = walk(*[256] * 3, seed=1)
    assert not set(other.hashes) & set(first.hashes)


def test_answers_guide_what_is_asked_next() -> None:
    truthful, contrary = walk(*[256] * 3), walk(256)
    contrary.victim.logits = lambda images: -brighter_half(images)
    contrary.go([256, 256])
    # The second batch was made before the contrary answers, the third after.
    assert np.array_equal(truthful.images[:256], contrary.images[:256])
    assert not np.array_equal(truthful.images[512:], contrary.images[512:])


def test_the_pools_images_do_not_matter() -> None:
    assert np.array_equal(walk(256, 256).images, walk(256, 256, pool=pool_of(numbered_images(1, 500))).images)


def test_making_it_draws_nothing_from_torchs_global_chance() -> None:
    before = torch.get_rng_state()
    walk(256, 256)
    assert torch.equal(torch.get_rng_state(), before)


def test_below_one_batch_there_is_no_thief_yet() -> None:
    assert walk(100).strategy.copycat() is None


def test_a_copycat_stays_as_it_was_when_the_attack_goes_on() -> None:
    walked = walk(256, 256)
    copycat = walked.strategy.copycat()
    assert copycat is not None
    before = predict(copycat, TEST)
    walked.go([256] * 4)
    assert np.array_equal(predict(copycat, TEST), before)


# --- odd victims


def test_a_victim_that_answers_one_class_only_is_survived() -> None:
    victim = KnownVictim(lambda images: np.tile(np.array([0, 4, 1], np.float32), (len(images), 1)), 3)
    walked = Walk(DataFreeStrategy(POOL, 2048, 0), victim, untrained).go([512] * 8)
    assert len(set(walked.hashes)) > 2000
    copycat = walked.strategy.copycat()
    assert copycat is not None
    logits = predict(copycat, TEST)
    assert np.isfinite(logits).all()
    assert (logits.argmax(1) == 1).all()


@pytest.mark.parametrize("count", [1, 2, 65])
def test_a_batch_of_which_few_images_were_new_is_learnt(count: int) -> None:
    players = Disguide((16, 16, 1), 0)
    images = players.imagine()[:count]
    players.learn(images, answer(AnswerPolicy("label"), brighter_half(images)))
    thief = players.thief()
    assert thief is not None
    assert np.isfinite(predict(thief, TEST)).all()


# --- resuming


def settings(*budgets: int) -> ThiefSettings:
    return ThiefSettings("none", "datafree", "plain", budgets, 0, "d" * 64)


def steal(victim: KnownVictim, path: Path, *budgets: int) -> list[Theft]:
    with Ledger(path) as ledger, CopycatTrainer(1) as trainer:
        return list(extract(victim, DataFreeStrategy(POOL, budgets[-1], 0), ledger, settings(*budgets), trainer))


def test_a_killed_attack_goes_the_same_way_and_pays_nothing_twice(tmp_path: Path) -> None:
    unbroken = KnownVictim(brighter_half)
    whole = steal(unbroken, tmp_path / "whole.sqlite", 300, 1500)
    broken, asked = KnownVictim(brighter_half, fails_at=4), []
    with pytest.raises(DeviceError):
        steal(broken, tmp_path / "broken.sqlite", 300, 1500)
    asked += broken.asked
    again = KnownVictim(brighter_half)
    thefts = steal(again, tmp_path / "broken.sqlite", 300, 1500)
    assert np.array_equal(np.concatenate(asked + again.asked), np.concatenate(unbroken.asked))
    assert broken.count
    assert again.count == 1500 - broken.count
    for one, other in zip(whole, thefts, strict=True):
        logits = [predict(theft.copycat.result().network, TEST) for theft in (one, other)]
        assert np.array_equal(*logits)


def test_a_killed_attack_with_a_checkpoint_does_not_learn_again_what_lies_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DataFreeStrategy, "CHECKPOINT", 2)
    learnt: list[int] = []
    learn = Disguide.learn
    monkeypatch.setattr(Disguide, "learn", lambda self, *given: (learnt.append(len(given[0])), learn(self, *given)))
    (whole,) = steal(KnownVictim(brighter_half), tmp_path / "whole.sqlite", 1536)
    batches = len(learnt)
    broken = KnownVictim(brighter_half, fails_at=6)
    with pytest.raises(DeviceError):
        steal(broken, tmp_path / "broken.sqlite", 1536)
    learnt.clear()
    (theft,) = steal(KnownVictim(brighter_half), tmp_path / "broken.sqlite", 1536)
    # Four batches lie behind the last checkpoint, and five were paid for.
    assert len(learnt) == batches - 4
    assert (theft.queries, theft.device_queries) == (1536, 1536 - broken.count)
    assert theft.answer_histogram.tolist() == whole.answer_histogram.tolist()
    assert theft.device_seconds == pytest.approx(whole.device_seconds)
    assert np.array_equal(*(predict(one.copycat.result().network, TEST) for one in (whole, theft)))


def test_a_larger_budget_asks_the_same_first(tmp_path: Path) -> None:
    steal(KnownVictim(brighter_half), tmp_path / "ledger.sqlite", 600)
    victim = KnownVictim(brighter_half)
    steal(victim, tmp_path / "ledger.sqlite", 1000)
    assert victim.count == 400


def test_from_a_checkpoint_it_goes_on_as_if_it_had_never_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DataFreeStrategy, "CHECKPOINT", 2)
    notes = Notebook()
    walked = walk(*[256] * 4, notes=notes)
    walked.go([256] * 3)
    # The last checkpoint was made before the seventh batch.
    again = DataFreeStrategy(POOL, 2000, 0)
    assert again.resume(notes, 0, 2000) == 6 * 256
    resumed = Walk(again, KnownVictim(brighter_half), untrained).go([256])
    assert np.array_equal(resumed.images, walked.images[6 * 256 :])
    one, other = walked.strategy.copycat(), again.copycat()
    assert one is not None
    assert other is not None
    assert np.array_equal(predict(one, TEST), predict(other, TEST))


def test_no_checkpoint_is_taken_beyond_what_may_lie_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DataFreeStrategy, "CHECKPOINT", 2)
    notes = Notebook()
    first = walk(*[256] * 3, notes=notes)
    again = DataFreeStrategy(POOL, 2000, 0)
    assert again.resume(Notebook(), 0, 2000) == 0
    assert again.resume(notes, 0, 511) == 0
    assert again.resume(notes, 1, 2000) == 0
    assert np.array_equal(Walk(again, first.victim, untrained).go([256]).images, first.images[:256])


# --- memory


def test_memory_does_not_grow_with_the_attack() -> None:
    players = Disguide((16, 16, 1), 0, settings=DisguideSettings(replay=512))

    def rounds(count: int) -> int:
        for _ in range(count):
            images = players.imagine()
            players.learn(images, answer(AnswerPolicy("label"), brighter_half(images)))
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = rounds(3)
        assert rounds(6) < early + 64 * 1024
    finally:
        tracemalloc.stop()


def test_replay_keeps_the_newest_and_draws_from_all_of_them() -> None:
    replay = Replay(10)
    images = np.arange(23, dtype=np.uint8)[:, None, None, None]
    targets = np.eye(23, dtype=np.float32)
    for start in range(0, 23, 4):
        replay.add(images[start : start + 4], targets[start : start + 4])
    assert len(replay) == 10
    drawn, goals = replay.draw(400, torch.Generator().manual_seed(0))
    assert set(drawn.ravel().tolist()) == set(range(13, 23))
    assert goals.argmax(1).tolist() == drawn.ravel().tolist()
    replay.clear()
    assert len(replay) == 0


# --- the generator


@pytest.mark.parametrize("shape", [(16, 16, 1), (64, 64, 3), (28, 30, 1)])
def test_generated_images_have_the_victims_shape_and_contrast_from_the_first_on(shape: tuple[int, int, int]) -> None:
    images: NDArray[np.uint8] = Disguide(shape, 0).imagine()
    assert images.shape == (256, *shape)
    assert images.min() < 40
    assert images.max() > 215
    assert len({image.tobytes() for image in images}) == 256


def test_a_generator_is_a_function_of_its_seed() -> None:
    one, other, third = (Generator(8, (16, 16, 1), torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.equal(one(noise), other(noise))
        assert not torch.equal(one(noise), third(noise))
