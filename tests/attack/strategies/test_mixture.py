"""Pools in one attack: in turn, a block at a time; what runs out leaves the rest to the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import KnownVictim, brighter_half, fixed_logits, half_images, numbered_images

from attack.copycat import CopycatTrainer
from attack.extraction import Theft, ThiefSettings, extract
from attack.ledger import Ledger, image_hash
from attack.pools import Pool
from attack.strategies import baseline, default_strategy, find_strategy
from foundation.errors import DataError, UsageError
from victim.training import predict

pytestmark = pytest.mark.timeout(60)


def pool_of(name: str, images: NDArray[np.uint8]) -> Pool:
    return Pool(name, len(images), lambda rows: images[rows], lambda _: name)


MANY, FEW = pool_of("many", numbered_images(900)), pool_of("few", numbered_images(30, 5000))


def walk(tmp_path: Path, pools: list[Pool], strategy: str, *budgets: int) -> tuple[KnownVictim, list[Theft]]:
    victim = KnownVictim(fixed_logits(2))
    settings = ThiefSettings("+".join(p.name for p in pools), strategy, "plain", budgets, 0, "d" * 64)
    with Ledger(tmp_path / "ledger.sqlite") as ledger, CopycatTrainer(1) as trainer:
        chosen = find_strategy(strategy, pools, budgets[-1], 0)
        return victim, list(extract(victim, chosen, ledger, settings, trainer, wanted=()))


def origins(victim: KnownVictim) -> list[str]:
    many = {image_hash(image) for image in MANY.take(np.arange(900))}
    return ["many" if image_hash(image) in many else "few" for image in np.concatenate(victim.asked)]


def test_pools_take_turns_and_the_small_one_leaves_the_rest(tmp_path: Path) -> None:
    victim, _ = walk(tmp_path, [MANY, FEW], "random", 600)
    assert origins(victim) == ["many"] * 250 + ["few"] * 30 + ["many"] * 320


def test_an_amplified_pool_takes_every_other_block(tmp_path: Path) -> None:
    victim, _ = walk(tmp_path, [MANY, FEW], "random+amplify", 1000)
    assert origins(victim) == (["many"] * 250 + ["few"] * 250) * 2


def test_the_walk_does_not_depend_on_the_budgets_on_the_way(tmp_path: Path) -> None:
    one, _ = walk(tmp_path / "one", [MANY, FEW], "random+amplify", 777)
    other, _ = walk(tmp_path / "other", [MANY, FEW], "random+amplify", 40, 263, 777)
    assert np.array_equal(np.concatenate(one.asked), np.concatenate(other.asked))


def test_together_the_pools_must_pay_for_the_budget() -> None:
    find_strategy("random", [MANY, FEW], 930, 0)
    with pytest.raises(DataError, match="pool many\\+few holds 930 images, the budget is 931"):
        find_strategy("random", [MANY, FEW], 931, 0)
    find_strategy("random+amplify", [MANY, FEW], 5000, 0)


def test_every_pool_has_one_strategy_or_all_have_the_same() -> None:
    with pytest.raises(UsageError, match="2 strategies"):
        find_strategy("random+amplify", [MANY], 10, 0)


def test_defaults_and_baselines_go_part_by_part() -> None:
    assert default_strategy("npd+pd:100") == "random+amplify"
    assert baseline("entropy+amplify:kcenter") == "random+amplify"
    assert baseline("amplify") == "amplify"


def test_the_last_pool_has_the_last_word(tmp_path: Path) -> None:
    """A thief whose first pool teaches the opposite of the second ends on the second's side."""
    images = half_images(300, 1)
    lies = pool_of("lies", images[:, ::-1].copy())
    truth = pool_of("truth", images)

    def contrary(asked: NDArray[np.uint8]) -> NDArray[np.float32]:
        turned = {image_hash(image) for image in lies.take(np.arange(300))}
        logits = brighter_half(asked)
        wrong = [image_hash(image) in turned for image in asked]
        logits[wrong] = logits[wrong][:, ::-1]
        return logits

    settings = ThiefSettings("lies+truth", "random", "plain", (600,), 0, "d" * 64)
    with Ledger(tmp_path / "ledger.sqlite") as ledger, CopycatTrainer(1) as trainer:
        strategy = find_strategy("random", [lies, truth], 600, 0)
        (theft,) = extract(KnownVictim(contrary), strategy, ledger, settings, trainer)
        copycat = theft.copycat.result(50)
    test = half_images(300, 2)
    assert (predict(copycat.network, test).argmax(1) == brighter_half(test).argmax(1)).mean() > 0.8
