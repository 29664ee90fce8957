"""What every active strategy promises, on a finite pool and on one without end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from victims_in_process import KnownVictim, brighter_half, fixed_logits, half_images, numbered_images
from walks import Notebook, Walk, linear, pool_of, untrained

import attack.copycat
from attack.copycat import CopycatTrainer
from attack.extraction import ThiefSettings, extract
from attack.fidelity import measure_fidelity
from attack.ledger import Ledger
from attack.pools import Pool
from attack.strategies import find_strategy, jacobian, rounds
from foundation.answers import AnswerPolicy
from foundation.errors import DataError, DeviceError
from victim.step import TrainingSettings
from victim.training import predict

pytestmark = pytest.mark.timeout(120)

CHOOSING = ["balanced", "entropy", "kcenter", "dfal_kcenter", "knockoff", "marich"]
ACTIVE = [*CHOOSING, "jbda", *(f"amplify:{name}" for name in CHOOSING), "amplify:jbda"]

POOL = pool_of(numbered_images(300))


@pytest.fixture(autouse=True)
def _small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_ROUND", 40)
    monkeypatch.setattr(jacobian, "SEEDS", 30)


def walk(
    name: str,
    *counts: int,
    budget: int = 200,
    seed: int = 0,
    pool: Pool = POOL,
    policy: str = "label",
    notes: Notebook | None = None,
    trains: bool = True,
) -> Walk:
    victim = KnownVictim(fixed_logits(3), 3, AnswerPolicy.parse(policy))
    network = linear()
    strategy = find_strategy(name, [pool], budget, seed)
    known = Notebook() if notes is None else notes
    return Walk(strategy, victim, (lambda: network) if trains else untrained, known).go(counts)


@pytest.mark.parametrize("policy", ["label", "scores"])
@pytest.mark.parametrize("name", ACTIVE)
def test_no_image_is_proposed_twice_and_the_budget_can_be_met(name: str, policy: str) -> None:
    walked = walk(name, *[32] * 12, policy=policy)
    assert walked.images.dtype == np.uint8
    assert walked.images.shape[1:] == (16, 16, 1)
    assert len(walked.images) >= 200
    assert len(set(walked.hashes)) == len(walked.images)
    assert walked.trained >= 3


@pytest.mark.parametrize("name", CHOOSING)
def test_a_finite_pool_is_asked_to_its_last_image_and_the_attack_ends(name: str) -> None:
    walked = walk(name, *[64] * 20)
    assert sorted(walked.hashes) == sorted(map(bytes, walk("random", 300, budget=300).hashes))
    assert walked.origins == [f"mine/{index}" for index in _rows(walked.images)]


def _rows(images: NDArray[np.uint8]) -> list[int]:
    known = {image.tobytes(): row for row, image in enumerate(numbered_images(300))}
    return [known[image.tobytes()] for image in images]


@pytest.mark.parametrize("name", ACTIVE)
def test_the_order_depends_neither_on_the_count_nor_on_the_budget(name: str) -> None:
    few = pool_of(numbered_images(150))
    whole = walk(name, *[512] * 6, pool=few, budget=150)
    # An amplified pool has as many originals as the budget pays for, so there it must pay for all of them.
    other = 400 if name.startswith("amplify") else 140
    pieces = walk(name, *[1, 7, 90, 3, 25, 60] * 2, pool=few, budget=other)
    assert len(pieces.images) > 100
    assert pieces.hashes == whole.hashes[: len(pieces.images)]
    assert pieces.origins == whole.origins[: len(pieces.images)]


@pytest.mark.parametrize("name", ACTIVE)
def test_a_resumed_walk_reads_its_notes_and_trains_nothing(name: str) -> None:
    notes = Notebook()
    whole = walk(name, *[25] * 8, notes=notes)
    resumed = walk(name, *[25] * 8, notes=notes, trains=False)
    assert whole.trained > 0
    assert resumed.hashes == whole.hashes


@pytest.mark.parametrize("name", ACTIVE)
def test_a_walk_broken_off_goes_on_as_if_it_never_was(name: str) -> None:
    notes = Notebook()
    walk(name, *[25] * 4, notes=notes)
    resumed = walk(name, *[25] * 9, notes=notes)
    assert resumed.hashes == walk(name, *[25] * 9).hashes


@pytest.mark.parametrize("name", ACTIVE)
def test_the_seed_alone_decides(name: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = walk(name, *[25] * 6).hashes
    torch.manual_seed(2)
    np.random.seed(2)
    assert walk(name, *[25] * 6).hashes == first
    assert walk(name, *[25] * 6, seed=1).hashes != first


@pytest.mark.parametrize("name", ACTIVE)
@pytest.mark.parametrize("classes", [1, 3])
def test_a_victim_of_one_answer_is_asked_to_the_end(name: str, classes: int) -> None:
    def always(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.tile(np.eye(classes, dtype=np.float32)[classes - 1], (len(images), 1))

    strategy = find_strategy(name, [POOL], 150, 0)
    with np.errstate(all="raise"):
        walked = Walk(strategy, KnownVictim(always, classes), lambda: linear(classes)).go([50] * 8)
    assert len(set(walked.hashes)) == len(walked.hashes)
    # With one class alone there is no other one to push an image towards.
    assert len(walked.hashes) >= (150 if (name, classes) != ("jbda", 1) else 30)


@pytest.mark.parametrize("name", CHOOSING)
def test_a_pool_of_one_picture_repeated_ends(name: str) -> None:
    same = pool_of(np.repeat(numbered_images(1), 120, axis=0))
    walked = walk(name, *[50] * 20, budget=120, pool=same)
    assert len(walked.images) == 120
    assert len(walked.victim.asked) == 1


@pytest.mark.parametrize("name", CHOOSING)
def test_a_strategy_that_chooses_needs_a_pool_as_large_as_the_budget(name: str) -> None:
    with pytest.raises(DataError, match="300 images, the budget is 301"):
        find_strategy(name, [POOL], 301, 0)


@pytest.mark.parametrize("name", CHOOSING)
def test_the_first_round_on_an_amplified_pool_asks_about_the_originals(name: str) -> None:
    few = pool_of(numbered_images(30))
    walked = walk(f"amplify:{name}", 40, 30, pool=few)
    assert np.array_equal(walked.images[:30], numbered_images(30))


def test_parts_of_a_composed_pool_keep_their_notes_apart() -> None:
    parts = [pool_of(numbered_images(200), "a"), pool_of(numbered_images(200, 1000), "b")]

    def walked(notes: Notebook, trains: bool) -> Walk:
        strategy = find_strategy("entropy+knockoff", parts, 260, 0)
        network = linear()
        victim = KnownVictim(fixed_logits(3), 3)
        return Walk(strategy, victim, (lambda: network) if trains else untrained, notes).go([512] * 12)

    notes = Notebook()
    whole = walked(notes, True)
    assert len(set(whole.hashes)) == len(whole.hashes) >= 260
    assert walked(notes, False).hashes == whole.hashes


def test_a_part_with_nothing_new_is_asked_at_random() -> None:
    images = numbered_images(120)
    strategy = find_strategy("random+entropy", [pool_of(images, "a"), pool_of(images, "b")], 120, 0)
    network = linear()
    walked = Walk(strategy, KnownVictim(fixed_logits(3), 3), lambda: network).go([300] * 20)
    assert walked.victim.count == 120


# --- the attack whole


@pytest.fixture
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def steal(ledger: Path, name: str, budget: int, victim: KnownVictim) -> tuple[list[bytes], torch.nn.Module]:
    """Which images were asked, and the copycat."""
    settings = ThiefSettings("mine", name, "plain", (budget,), 0, "d" * 64)
    with Ledger(ledger) as opened, CopycatTrainer(1) as trainer:
        strategy = find_strategy(name, [pool_of(half_images(200, 1))], budget, 0)
        (theft,) = extract(victim, strategy, opened, settings, trainer)
        order = opened.attack(settings.identity(victim, trains=True), 2).images()
        return order, theft.copycat.result(60).network


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("name", [*CHOOSING, "jbda", "amplify:entropy"])
def test_an_attack_resumes_after_the_device_is_lost(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As few steps as there can be: what is learnt does not matter here.
    monkeypatch.setattr(attack.copycat, "settings_for", lambda *_, **__: TrainingSettings(epochs=1, batch=32))
    unbroken = KnownVictim(brighter_half)
    order, _ = steal(tmp_path / "whole", name, 90, unbroken)
    assert unbroken.count == len(set(order)) == 90
    lost = KnownVictim(brighter_half, fails_at=2)
    with pytest.raises(DeviceError):
        steal(tmp_path / "broken", name, 90, lost)
    again = KnownVictim(brighter_half)
    assert steal(tmp_path / "broken", name, 90, again)[0] == order
    assert lost.count + again.count == 90


@pytest.mark.usefixtures("_one_thread")
def test_a_copycat_of_chosen_images_learns_an_easy_victim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack.copycat, "settings_for", lambda *_, **__: TrainingSettings(epochs=12, batch=32))
    _, network = steal(tmp_path / "ledger", "balanced", 100, KnownVictim(brighter_half))
    test = half_images(300, 2)
    theirs = brighter_half(test).argmax(1)
    assert measure_fidelity(predict(network, test).argmax(1), theirs, theirs).fidelity > 0.8
