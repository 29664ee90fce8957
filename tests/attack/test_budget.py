"""Asking under a budget: met exactly, a repeated image is free, a failed call costs nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import tracemalloc
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from victims_in_process import KnownVictim, fixed_logits, numbered_images

from attack.budget import Answered, BudgetedOracle
from attack.hashes import image_hash
from attack.ledger import AttackIdentity, AttackLedger, Ledger
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import BudgetError, DataError, DeviceError, ExitCode, UsageError

pytestmark = pytest.mark.timeout(60)

IMAGES = numbered_images(40, 0, (4, 4, 1))
LOGITS = fixed_logits(3)


@pytest.fixture
def victim() -> KnownVictim:
    return KnownVictim(LOGITS, 3, image_shape=(4, 4, 1))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def part(ledger: Ledger, victim: KnownVictim) -> AttackLedger:
    return ledger.attack(AttackIdentity(victim.identity, victim.policy, "thief"), 3)


def ask(asking: BudgetedOracle, *numbers: int) -> Answered:
    """Ask about images by number."""
    return asking.ask(IMAGES[list(numbers)], [f"image {number}" for number in numbers])


def hashes(images: NDArray[np.uint8]) -> list[bytes]:
    return [image_hash(image) for image in images]


@pytest.mark.parametrize("budget", [0, -1])
def test_a_budget_below_one_is_wrong_usage(victim: KnownVictim, part: AttackLedger, budget: int) -> None:
    with pytest.raises(UsageError, match="buys nothing") as caught:
        BudgetedOracle(victim, part, budget)
    assert caught.value.exit_code == ExitCode.USAGE == 2


def test_the_budget_is_met_exactly_in_the_middle_of_a_batch(victim: KnownVictim, part: AttackLedger) -> None:
    asking = BudgetedOracle(victim, part, 7)
    assert len(ask(asking, *range(5)).images) == 5
    last = ask(asking, *range(5, 12))
    assert np.array_equal(last.images, IMAGES[5:7])
    assert last.answers.top1().tolist() == LOGITS(IMAGES[5:7]).argmax(1).tolist()
    assert (asking.spent, asking.remaining, victim.count, len(part)) == (7, 0, 7, 7)


def test_a_spent_budget_refuses_even_what_it_knows(victim: KnownVictim, part: AttackLedger) -> None:
    asking = BudgetedOracle(victim, part, 3)
    ask(asking, 0, 1, 2)
    with pytest.raises(BudgetError, match="budget of 3") as caught:
        ask(asking, 0)
    assert caught.value.exit_code == ExitCode.BUDGET == 5
    assert victim.count == 3


def test_an_image_twice_in_a_batch_is_asked_once(victim: KnownVictim, part: AttackLedger) -> None:
    asking = BudgetedOracle(victim, part, 10)
    answered = ask(asking, 3, 3, 4, 3, 4, 5)
    assert np.array_equal(answered.images, IMAGES[[3, 4, 5]])
    assert (answered.asked, asking.spent, victim.count) == (3, 3, 3)


def test_an_image_of_an_earlier_batch_is_left_out_and_free(victim: KnownVictim, part: AttackLedger) -> None:
    asking = BudgetedOracle(victim, part, 10)
    ask(asking, 0, 1, 2)
    answered = ask(asking, 2, 9, 0)
    assert np.array_equal(answered.images, IMAGES[[9]])
    assert (asking.spent, victim.count) == (4, 4)
    nothing = ask(asking, 0, 9)
    assert len(nothing.images) == len(nothing.answers) == nothing.asked == 0
    assert victim.calls == 2


@pytest.mark.parametrize("policy", ["label", "topk:2", "scores"])
def test_an_image_of_an_earlier_session_counts_but_is_not_asked_again(ledger: Ledger, policy: str) -> None:
    victim = KnownVictim(LOGITS, 3, AnswerPolicy.parse(policy), (4, 4, 1))
    part = ledger.attack(AttackIdentity(victim.identity, victim.policy, "thief"), 3)
    before = ask(BudgetedOracle(victim, part, 6), 0, 1, 2, 3)
    later = KnownVictim(LOGITS, 3, victim.policy, (4, 4, 1))
    asking = BudgetedOracle(later, part, 6, in_order=False)
    again = ask(asking, 5, 1, 0, 4)
    assert (again.asked, asking.spent, later.count) == (2, 4, 2)
    assert np.array_equal(later.asked[0], IMAGES[[5, 4]])
    assert np.array_equal(again.images, IMAGES[[5, 1, 0, 4]])
    assert again.answers.labels[[1, 2]].tolist() == before.answers.labels[[1, 0]].tolist()
    assert again.answers.device_ns[[1, 2]].tolist() == before.answers.device_ns[[1, 0]].tolist()
    if before.answers.scores is not None and again.answers.scores is not None:
        assert np.array_equal(again.answers.scores[[1, 2]], before.answers.scores[[1, 0]])


def test_answers_stand_beside_their_images(victim: KnownVictim, part: AttackLedger) -> None:
    ask(BudgetedOracle(victim, part, 30), *range(0, 30, 3))
    mixed = ask(BudgetedOracle(victim, part, 40, in_order=False), *np.random.default_rng(1).permutation(40).tolist())
    assert mixed.answers.top1().tolist() == LOGITS(mixed.images).argmax(1).tolist()
    assert mixed.asked == 30


def test_images_in_any_order_are_left_out_once_this_session_had_them(victim: KnownVictim, part: AttackLedger) -> None:
    ask(BudgetedOracle(victim, part, 10), *range(10))
    asking = BudgetedOracle(victim, part, 20, in_order=False)
    assert np.array_equal(ask(asking, 7, 20, 2).images, IMAGES[[7, 20, 2]])
    assert np.array_equal(ask(asking, 1, 2, 3, 20, 7, 21).images, IMAGES[[1, 3, 21]])
    assert (asking.spent, asking.asked, victim.count) == (6, 2, 12)


@pytest.mark.parametrize(
    "walk",
    [[1, 0, 2], [0, 1, 2, 9, 3], [0, 1, 2, 3, 4, 9, 10], [9], [0, 2, 1]],
    ids=["turned", "a new one between", "a new one before the last", "a new one first", "turned later"],
)
@pytest.mark.parametrize("cut", [1, 2, 99])
def test_another_walk_than_the_ledger_holds_is_refused_and_nothing_is_paid(
    victim: KnownVictim, part: AttackLedger, walk: list[int], cut: int
) -> None:
    ask(BudgetedOracle(victim, part, 20), *range(6))
    asking = BudgetedOracle(victim, part, 20)
    steps = [walk[first : first + cut] for first in range(0, len(walk), cut)]
    with pytest.raises(DataError, match="another walk of this thief") as caught:
        deque((ask(asking, *step) for step in steps), maxlen=0)
    assert caught.value.hint is not None
    assert "new ledger" in caught.value.hint
    assert (victim.count, len(part), asking.asked) == (6, 6, 0)
    assert asking.spent < len(walk)


def test_the_same_walk_in_other_steps_is_the_same_walk(victim: KnownVictim, part: AttackLedger) -> None:
    ask(BudgetedOracle(victim, part, 20), *range(12))
    asking = BudgetedOracle(victim, part, 20)
    for step in ([0, 0, 1], [1, 2, 3, 0], list(range(12)), [3, 15, 16]):
        ask(asking, *step)
    assert (asking.spent, asking.asked, victim.count) == (14, 2, 14)


def test_a_device_that_fails_costs_nothing_and_the_rest_is_paid_once(victim: KnownVictim, part: AttackLedger) -> None:
    victim.fails_at = 3
    asking = BudgetedOracle(victim, part, 20)
    ask(asking, *range(5))
    ask(asking, *range(5, 10))
    for _ in range(2):
        with pytest.raises(DeviceError, match="cable") as caught:
            ask(asking, *range(8, 15))
        assert caught.value.exit_code == ExitCode.DEVICE == 3
        assert (asking.spent, asking.remaining, asking.asked, len(part)) == (10, 10, 10, 10)
    mended = KnownVictim(LOGITS, 3, image_shape=(4, 4, 1))
    resumed = BudgetedOracle(mended, part, 20)
    for first in range(0, 20, 5):
        ask(resumed, *range(first, first + 5))
    assert part.images() == hashes(IMAGES[:20])
    assert np.array_equal(np.concatenate(mended.asked), IMAGES[10:20])
    assert (resumed.spent, resumed.asked) == (20, 10)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attack.budget.PIECE", 4)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("policy", ["label", "scores"])
def test_a_large_proposal_goes_in_pieces_and_comes_back_whole(ledger: Ledger, policy: str) -> None:
    victim = KnownVictim(LOGITS, 3, AnswerPolicy.parse(policy), (4, 4, 1))
    part = ledger.attack(AttackIdentity(victim.identity, victim.policy, "thief"), 3)
    ask(BudgetedOracle(victim, part, 40), *range(6))
    asking = BudgetedOracle(victim, part, 25)
    answered = ask(asking, *range(20), *range(10), *range(20, 40))
    assert np.array_equal(answered.images, IMAGES[:25])
    assert answered.answers.top1().tolist() == LOGITS(IMAGES[:25]).argmax(1).tolist()
    assert (answered.asked, asking.spent, asking.remaining, victim.count) == (19, 25, 0, 25)
    assert part.images() == hashes(IMAGES[:25])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("fails_at", range(1, 6))
def test_a_device_lost_in_a_large_proposal_keeps_whole_pieces_and_no_image_is_paid_twice(
    victim: KnownVictim, part: AttackLedger, fails_at: int
) -> None:
    victim.fails_at = fails_at
    asking = BudgetedOracle(victim, part, 30)
    with pytest.raises(DeviceError, match="cable"):
        ask(asking, *range(20))
    held = len(part)
    assert held == victim.count == asking.asked == 4 * (fails_at - 1)
    assert asking.spent == 0
    # The same session once more, as soon as the device is there again, and another after it.
    victim.fails_at = None
    answered = ask(asking, *range(20))
    assert answered.answers.top1().tolist() == LOGITS(IMAGES[:20]).argmax(1).tolist()
    assert (answered.asked, asking.spent, victim.count) == (20 - held, 20, 20)
    assert np.array_equal(np.concatenate(victim.asked), IMAGES[:20])
    assert ask(BudgetedOracle(victim, part, 30), *range(20)).asked == 0


@pytest.mark.usefixtures("small_pieces")
def test_a_ledger_that_fails_in_a_large_proposal_stops_the_asking(
    victim: KnownVictim, part: AttackLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most one piece is on its way while the one before is written down."""
    record = part.record

    def full_disk(images: list[bytes], answers: Answers, provenance: list[str]) -> None:
        if len(part) == 8:
            raise DataError("disk full")
        record(images, answers, provenance)

    monkeypatch.setattr(part, "record", full_disk)
    asking = BudgetedOracle(victim, part, 40)
    with pytest.raises(DataError, match="disk full"):
        ask(asking, *range(40))
    assert part.images() == hashes(IMAGES[:8])
    assert (asking.spent, asking.asked) == (0, 8)
    assert victim.count <= 16
    monkeypatch.undo()
    assert ask(asking, *range(40)).asked == 32


def test_a_kill_in_a_large_proposal_loses_nothing_that_was_recorded(tmp_path: Path) -> None:
    """Killed at its fifth call to the device: the three pieces before the last were on disk by then."""
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import attack.budget
from test_budget import IMAGES, LOGITS, AttackIdentity, BudgetedOracle, KnownVictim, Ledger
attack.budget.PIECE = 4
class Killing(KnownVictim):
    def query(self, images):
        if self.calls == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().query(images)
victim = Killing(LOGITS, 3, image_shape=(4, 4, 1))
part = Ledger(Path({str(tmp_path)!r}) / "ledger.sqlite").attack(AttackIdentity(victim.identity, victim.policy, "t"), 3)
BudgetedOracle(victim, part, 40).ask(IMAGES, ["x"] * 40)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == -signal.SIGKILL
    victim = KnownVictim(LOGITS, 3, image_shape=(4, 4, 1))
    with Ledger(tmp_path / "ledger.sqlite") as again:
        part = again.attack(AttackIdentity(victim.identity, victim.policy, "t"), 3)
        held = len(part)
        assert held in (12, 16)
        assert part.images() == hashes(IMAGES[:held])
        answered = ask(BudgetedOracle(victim, part, 40), *range(40))
        assert answered.answers.top1().tolist() == LOGITS(IMAGES).argmax(1).tolist()
        assert np.array_equal(np.concatenate(victim.asked), IMAGES[held:])
        assert part.images() == hashes(IMAGES)


def test_a_session_needs_little_memory_for_what_it_has_seen(part: AttackLedger) -> None:
    """A set of its hashes took 100 bytes a query."""
    count = 30_000
    images = np.zeros((count, 4, 4, 1), np.uint8)
    images.reshape(count, -1)[:, :4] = np.arange(count, dtype="<u4")[:, None].view(np.uint8)
    victim = KnownVictim(lambda asked: np.zeros((len(asked), 3), np.float32), 3, image_shape=(4, 4, 1))
    asking = BudgetedOracle(victim, part, count)
    asking.ask(images[:10_000], ["x"] * 10_000)
    victim.asked.clear()
    tracemalloc.start()
    for first in range(10_000, count, 1000):
        asking.ask(images[first : first + 1000], ["x"] * 1000)
        victim.asked.clear()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert asking.asked == count
    assert grown < 60 * (count - 10_000)


def test_a_victim_that_answers_too_few_pays_nothing(victim: KnownVictim, part: AttackLedger) -> None:
    victim.logits = lambda images: LOGITS(images[1:])
    asking = BudgetedOracle(victim, part, 20)
    with pytest.raises(DataError, match="not one of each"):
        ask(asking, 0, 1, 2)
    assert (asking.spent, len(part)) == (0, 0)


BATCHES = st.lists(st.lists(st.integers(0, 39), max_size=9), max_size=12)


@settings(deadline=None, max_examples=50)
@given(batches=BATCHES, budget=st.integers(1, 30), kills=st.sets(st.integers(1, 12), max_size=3))
def test_however_an_attack_is_cut_and_killed_each_image_is_paid_once(
    batches: list[list[int]], budget: int, kills: set[int]
) -> None:
    """Each session walks from the first batch; it is killed at a call to the device, the last one is not."""
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite") as ledger:
        part = ledger.attack(AttackIdentity("v", AnswerPolicy("label"), "t"), 3)
        paid: list[int] = []
        for fails_at in [*sorted(kills), None]:
            victim = KnownVictim(LOGITS, 3, image_shape=(4, 4, 1), fails_at=fails_at)
            asking = BudgetedOracle(victim, part, budget)
            try:
                for batch in batches:
                    ask(asking, *batch)
            except (DeviceError, BudgetError):
                pass
            paid.append(victim.count)
        wanted = list(dict.fromkeys(number for batch in batches for number in batch))[:budget]
        assert part.images() == hashes(IMAGES[wanted])
        assert sum(paid) == asking.spent == len(wanted)
