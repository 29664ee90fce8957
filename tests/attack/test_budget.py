"""Asking under a budget: met exactly, a repeated image is free, a failed call costs nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from victims_in_process import KnownVictim, fixed_logits, numbered_images

from attack.budget import Answered, BudgetedOracle
from attack.ledger import AttackIdentity, AttackLedger, Ledger, image_hash
from foundation.answers import AnswerPolicy
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
    asking = BudgetedOracle(later, part, 6)
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
    mixed = ask(BudgetedOracle(victim, part, 40), *np.random.default_rng(1).permutation(40).tolist())
    assert mixed.answers.top1().tolist() == LOGITS(mixed.images).argmax(1).tolist()
    assert mixed.asked == 30


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
