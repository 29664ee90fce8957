"""From a marked session to a verdict on a suspect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from marked_images import KEY, OTHER, varied
from scipy.stats import binom
from victims_in_process import KnownVictim, fixed_logits

from attack.budget import BudgetedOracle
from attack.ledger import AttackIdentity, Ledger
from defense.ownership.oracle import WatermarkedOracle
from defense.ownership.registry import WatermarkSet, load_set
from defense.ownership.verification import verdict_of, verify
from defense.ownership.watermark import Watermark
from edgecat.stages.ownership import judge
from foundation.errors import DataError
from victim.checkpoint import CheckpointHeader, save
from victim.models import build


@pytest.fixture(scope="module")
def session() -> WatermarkedOracle:
    """10,000 queries of varied images, four classes."""
    oracle = WatermarkedOracle(KnownVictim(fixed_logits(4), 4), Watermark(KEY))
    for start in range(0, 10_000, 2500):
        oracle.query(varied(2500, start))
    return oracle


@pytest.fixture(scope="module")
def registered(session: WatermarkedOracle) -> WatermarkSet:
    return session.registered()


def test_what_was_altered_is_registered_and_nothing_else(session: WatermarkedOracle) -> None:
    found = session.registered()
    victim = session.oracle
    assert isinstance(victim, KnownVictim)
    assert session.answered == 10_000
    assert 30 <= len(found) <= 75
    assert np.array_equal(found.true, victim.logits(found.images).argmax(1))
    assert (found.answered != found.true).all()
    assert np.array_equal(found.answered, session.query(found.images).top1())
    # Asked again, they are not registered again.
    assert len(session.registered()) == len(found)


def test_a_session_has_its_own_place_in_a_ledger(tmp_path: Path) -> None:
    victim = KnownVictim(fixed_logits(4), 4)
    marked = WatermarkedOracle(victim, Watermark(KEY))
    assert marked.identity != victim.identity != WatermarkedOracle(victim, Watermark(OTHER)).identity
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        part = ledger.attack(AttackIdentity(marked.identity, marked.policy, "thief"), 4)
        answered = BudgetedOracle(marked, part, 1500).ask(varied(1500), ["varied"] * 1500)
    assert np.array_equal(answered.answers.top1(), marked.query(answered.images).top1())


def test_a_copy_is_convicted_and_an_innocent_model_is_not(registered: WatermarkSet) -> None:
    copy = verify(registered.answered, registered, KEY)
    assert (copy.verdict, copy.agreements, copy.true_agreements) == ("copy", len(registered), 0)
    # Four classes: two bits an image.
    assert copy.bits == pytest.approx(2 * len(registered))
    assert copy.p_value < 2**-64
    right = verify(registered.true, registered, KEY)
    assert (right.verdict, right.bits) == ("no evidence", 0)
    for seed in range(20):
        chance = np.random.default_rng(seed).integers(0, 4, len(registered))
        assert verify(chance, registered, KEY).verdict == "no evidence"


def test_bits_are_the_binomial_tail(registered: WatermarkSet) -> None:
    count = len(registered)
    for agreements in (0, 10, 25):
        suspect = np.where(np.arange(count) < agreements, registered.answered, registered.true)
        found = verify(suspect, registered, KEY)
        tail = sum(binom.pmf(k, count, 0.25) for k in range(agreements, count + 1))
        assert found.bits == pytest.approx(-np.log2(tail), abs=1e-6)


def test_an_innocent_model_that_agrees_by_nature_weakens_the_proof(registered: WatermarkSet) -> None:
    half = np.where(np.arange(len(registered)) % 2 == 0, registered.answered, registered.true)
    alone, compared = verify(half, registered, KEY), verify(half, registered, KEY, innocent=half)
    assert compared.bits < 3 < alone.bits
    assert compared.innocent > 0.5
    # A better one than chance does not help the owner.
    assert verify(half, registered, KEY, innocent=registered.true).bits == alone.bits


@pytest.mark.parametrize(
    ("bits", "verdict"),
    [(0, "no evidence"), (10, "no evidence"), (10.1, "suspicious"), (64, "suspicious"), (65, "copy")],
)
def test_a_verdict_says_how_sure_it_is(bits: float, verdict: str) -> None:
    assert verdict_of(bits) == verdict


def test_a_set_that_its_key_does_not_make_proves_nothing(registered: WatermarkSet) -> None:
    """Neither images that nobody marked nor labels that suit the owner."""
    with pytest.raises(DataError, match="of key"):
        verify(registered.answered, registered, OTHER)
    foreign = replace(registered, images=varied(len(registered), 99))
    suited = replace(registered, answered=(registered.answered + 1) % 4)
    for forged in (foreign, suited):
        with pytest.raises(DataError, match="does not mark"):
            verify(forged.answered, forged, KEY)


def test_too_little_is_told(registered: WatermarkSet) -> None:
    nothing = WatermarkedOracle(KnownVictim(fixed_logits(4), 4), Watermark(KEY)).registered()
    with pytest.raises(DataError, match="empty"):
        verify(np.empty(0, np.int64), nothing, KEY)
    with pytest.raises(DataError, match="labels for"):
        verify(registered.answered[1:], registered, KEY)


def test_a_set_survives_its_file(registered: WatermarkSet, tmp_path: Path) -> None:
    place = tmp_path / "set.npz"
    registered.save(place)
    found = load_set(place)
    for name in ("images", "answered", "true"):
        assert np.array_equal(getattr(found, name), getattr(registered, name))
    assert (found.classes, found.rate, found.victim, found.key) == (4, 0.005, "ab" * 32, registered.key)
    assert KEY not in place.read_bytes()
    assert [other.name for other in tmp_path.iterdir()] == ["set.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello"])
def test_what_is_no_set_is_told(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "set.npz"
    place.write_bytes(content)
    with pytest.raises(DataError):
        load_set(place)
    with pytest.raises(DataError, match="cannot read"):
        load_set(tmp_path / "none.npz")


def test_a_checkpoint_is_judged(registered: WatermarkSet, tmp_path: Path) -> None:
    def checkpoint(classes: int) -> Path:
        names = tuple("abcdefgh"[:classes])
        header = CheckpointHeader(
            architecture="plain",
            image_shape=(16, 16, 1),
            class_names=names,
            dataset="varied",
            dataset_sha256="0" * 64,
            epochs=0,
            seconds_train=0,
        )
        network = build("plain", 1, classes, torch.Generator().manual_seed(0)).eval()
        save(network, header, tmp_path / f"{classes}.safetensors")
        return tmp_path / f"{classes}.safetensors"

    place = tmp_path / "set.npz"
    registered.save(place)
    found = judge(KEY, place, checkpoint(4), checkpoint(4))
    assert found.verdict == "no evidence"
    assert found.images == len(registered)
    with pytest.raises(DataError, match="5 classes"):
        judge(KEY, place, checkpoint(5))
