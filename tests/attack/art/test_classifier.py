"""A device as an ART classifier: ART's own attacks run on it, are counted, budgeted and resumed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import KnownVictim, brighter_half, fixed_logits, half_images, numbered_images

from attack.ledger import Ledger
from foundation.answers import AnswerPolicy
from foundation.errors import BudgetError, DataError, UsageError

pytest.importorskip("art.estimators", reason="wants ART: pip install 'edgecat[art]'")

from art.attacks.evasion import HopSkipJump, SquareAttack

from attack.art.budgeted import LedgerOracle
from attack.art.classifier import DeviceClassifier

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

COLOUR = (16, 12, 3)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """ART draws from numpy's global source."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)


def as_floats(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32) / 255


def hop_skip_jump(classifier: DeviceClassifier) -> NDArray[np.float32]:
    """Adversarial examples of four images. Where it starts is given: ART would draw it from the system's entropy."""
    images = half_images(4, seed=1)
    attack = HopSkipJump(classifier, batch_size=1, max_iter=3, max_eval=60, init_eval=10, init_size=20, verbose=False)
    with seeded(4):
        return np.asarray(attack.generate(as_floats(images), x_adv_init=as_floats(images[:, ::-1])))


def on_ledger(path: Path, victim: KnownVictim, budget: int) -> tuple[DeviceClassifier, LedgerOracle]:
    oracle = LedgerOracle(victim, Ledger(path), "HopSkipJump seed 4", budget)
    return DeviceClassifier(oracle), oracle


@pytest.mark.parametrize("channels_first", [True, False])
@pytest.mark.parametrize("clip_values", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_every_pixel_value_survives_the_way_through_floats(
    channels_first: bool, clip_values: tuple[float, float]
) -> None:
    victim = KnownVictim(fixed_logits(3), 3, image_shape=COLOUR)
    images = numbered_images(5, shape=COLOUR)
    low, high = clip_values
    x = (images.astype(np.float32) / 255) * (high - low) + low
    classifier = DeviceClassifier(victim, channels_first=channels_first, clip_values=clip_values)
    predicted = classifier.predict(x.transpose(0, 3, 1, 2) if channels_first else x)
    np.testing.assert_array_equal(np.concatenate(victim.asked), images)
    np.testing.assert_array_equal(predicted.argmax(1), victim.logits(images).argmax(1))


def test_what_no_pixel_can_show_is_cut_off_and_rounded() -> None:
    victim = KnownVictim(brighter_half)
    x = np.full((1, 1, 16, 16), 0.5, np.float64)
    x[0, 0, 0, :4] = [-3.0, 7.0, 100.4 / 255, 100.6 / 255]
    DeviceClassifier(victim).predict(x)
    assert victim.asked[0][0, 0, :5, 0].tolist() == [0, 255, 100, 101, 128]


def test_bytes_are_taken_for_pixels() -> None:
    victim = KnownVictim(fixed_logits(2))
    images = numbered_images(3)
    DeviceClassifier(victim, channels_first=False).predict(images)
    np.testing.assert_array_equal(victim.asked[0], images)


def test_batch_size_one_is_still_one_round_trip() -> None:
    victim = KnownVictim(fixed_logits(2))
    classifier = DeviceClassifier(victim)
    classifier.predict(as_floats(numbered_images(300)), batch_size=1)
    assert (victim.calls, victim.count, classifier.queries) == (1, 300, 300)


def test_predictions_are_as_soft_as_the_policy_allows() -> None:
    x = as_floats(numbered_images(6))
    hard = DeviceClassifier(KnownVictim(fixed_logits(3), 3)).predict(x)
    soft = DeviceClassifier(KnownVictim(fixed_logits(3), 3, AnswerPolicy("scores"))).predict(x)
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert ((soft > 0) & (soft < 1)).all()
    np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(hard.argmax(1), soft.argmax(1))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 16, 16, 1), np.float32), "channels_first"),
        (np.zeros((2, 256), np.float32), "the victim takes"),
        (np.full((1, 1, 16, 16), np.nan, np.float32), "NaN"),
    ],
)
def test_inputs_that_are_no_images_never_reach_the_device(x: NDArray[np.float32], words: str) -> None:
    victim = KnownVictim(fixed_logits(2))
    with pytest.raises(DataError, match=words):
        DeviceClassifier(victim).predict(x)
    assert victim.calls == 0


def test_no_inputs_no_question() -> None:
    victim = KnownVictim(fixed_logits(2))
    assert DeviceClassifier(victim).predict(np.empty((0, 1, 16, 16), np.float32)).shape == (0, 2)
    assert victim.calls == 0


def test_a_decision_based_attack_of_art_fools_the_device() -> None:
    victim = KnownVictim(brighter_half)
    classifier = DeviceClassifier(victim)
    adversarial = hop_skip_jump(classifier)
    before = victim.logits(half_images(4, seed=1)).argmax(1)
    after = victim.logits(classifier.pixels(adversarial)).argmax(1)
    assert (before != after).all()
    assert classifier.queries == victim.count > 100


def test_a_score_based_attack_of_art_fools_the_device() -> None:
    victim = KnownVictim(brighter_half, policy=AnswerPolicy("scores"))
    classifier = DeviceClassifier(victim)
    images = half_images(4, seed=2)
    with seeded(1):
        attack = SquareAttack(classifier, eps=0.3, max_iter=60, nb_restarts=1, verbose=False)
        adversarial = attack.generate(as_floats(images))
    changed = victim.logits(classifier.pixels(adversarial)).argmax(1) != victim.logits(images).argmax(1)
    assert changed.any()


def test_an_attack_ends_where_its_budget_does(tmp_path: Path) -> None:
    victim = KnownVictim(brighter_half)
    classifier, oracle = on_ledger(tmp_path / "ledger.sqlite", victim, 50)
    with pytest.raises(BudgetError, match="50"):
        hop_skip_jump(classifier)
    assert victim.count == oracle.spent == 50


def test_an_attack_started_again_goes_on_from_its_ledger(tmp_path: Path) -> None:
    whole = KnownVictim(brighter_half)
    classifier, oracle = on_ledger(tmp_path / "whole.sqlite", whole, 5000)
    undisturbed = hop_skip_jump(classifier)
    assert whole.count == oracle.spent < classifier.queries, "ART repeats itself; it must not pay for that"

    broken, again = KnownVictim(brighter_half), KnownVictim(brighter_half)
    with pytest.raises(BudgetError):
        hop_skip_jump(on_ledger(tmp_path / "ledger.sqlite", broken, 80)[0])
    classifier, oracle = on_ledger(tmp_path / "ledger.sqlite", again, 5000)
    np.testing.assert_array_equal(hop_skip_jump(classifier), undisturbed)
    assert broken.count + again.count == whole.count == oracle.spent


def test_repeated_images_are_answered_also_when_the_budget_is_spent(tmp_path: Path) -> None:
    victim = KnownVictim(fixed_logits(3), 3)
    oracle = LedgerOracle(victim, Ledger(tmp_path / "ledger.sqlite"), "repeats", 4)
    images = numbered_images(4)
    rows = [0, 1, 0, 2, 3, 3]
    expected = victim.logits(images[rows]).argmax(1)
    np.testing.assert_array_equal(oracle.query(images[rows]).top1(), expected)
    np.testing.assert_array_equal(oracle.query(images[rows]).top1(), expected)
    assert victim.count == 4
    with pytest.raises(BudgetError):
        oracle.query(numbered_images(5))
    assert victim.count == 4


def test_an_attack_that_walks_another_way_still_pays_for_no_image_twice(tmp_path: Path) -> None:
    path, victim, images = tmp_path / "ledger.sqlite", KnownVictim(fixed_logits(3), 3), numbered_images(12)
    LedgerOracle(victim, Ledger(path), "same", 20).query(images[:10])
    again = LedgerOracle(victim, Ledger(path), "same", 20)
    backwards = images[::-1]
    np.testing.assert_array_equal(again.query(backwards).top1(), victim.logits(backwards).argmax(1))
    assert victim.count == again.spent == 12


def test_a_larger_ledger_does_not_lengthen_a_smaller_budget(tmp_path: Path) -> None:
    path, victim = tmp_path / "ledger.sqlite", KnownVictim(fixed_logits(2))
    LedgerOracle(victim, Ledger(path), "same", 10).query(numbered_images(10))
    with pytest.raises(BudgetError):
        LedgerOracle(victim, Ledger(path), "same", 6).query(numbered_images(10))


def test_without_art_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "art", None)
    monkeypatch.delitem(sys.modules, "attack.art")
    with pytest.raises(UsageError, match=r"pip install 'edgecat\[art\]'"):
        importlib.import_module("attack.art")
