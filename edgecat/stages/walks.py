"""Thieves as a ledger and the records beside it describe them, ready to walk again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attack.ledger import AttackIdentity, Ledger
from attack.paid import Labelled
from attack.pools import find_pools
from attack.replay import replay
from attack.strategies import find_strategy
from benchmarks import records
from benchmarks.records import Context
from edgecat.directory import RunDirectory
from edgecat.settings import RunSettings, make_settings
from edgecat.stages.data import second_hospital
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset


@dataclass(frozen=True)
class PastThief:
    """One thief of a ledger.

    Attributes:
        identity: as the ledger has it.
        pool, strategy, seed: how it chose.
        data: sha256 of the data set behind its pool.
        architecture: of its copycat, where the choice depends on it.
        queries: how many it has paid for.
    """

    identity: AttackIdentity
    pool: str
    strategy: str
    seed: int
    data: str
    architecture: str
    queries: int


def find_ledger(place: Path) -> Path:
    """The ledger of a run or attack directory, or the file itself.

    Raises:
        UsageError: there is none.
    """
    ledger = RunDirectory(place).ledger if place.is_dir() else place
    if not ledger.is_file():
        raise UsageError(f"no ledger at {ledger}", hint="name a ledger file, or a directory of edgecat attack or run")
    return ledger


def past_settings(ledger: Path, progress: Progress = SILENT) -> RunSettings | None:
    """What the newest session in the ledger's directory was asked to do; None: no record tells.

    Raises:
        DataError: records that cannot be read.
    """
    place = RunDirectory(ledger.parent).results
    if not place.is_file():
        return None
    contexts = [record for record in records.read(place, progress) if isinstance(record, Context)]
    if not contexts:
        return None
    # Records of other versions may have other settings beside those that a walk needs.
    known = {name: value for name, value in contexts[-1].settings.items() if name in RunSettings.model_fields}
    return make_settings(**known)


def past_thieves(ledger: Ledger, classes: int) -> tuple[list[PastThief], list[str]]:
    """The thieves that a walk can be replayed of, and the names of the others (images that a user brought)."""
    found, others = [], []
    for identity in ledger.attacks():
        try:
            told = json.loads(identity.thief)
            found.append(
                PastThief(
                    identity,
                    str(told["pool"]),
                    str(told["strategy"]),
                    int(told["seed"]),
                    str(told["data"]),
                    str(told.get("architecture", "stacked")),
                    len(ledger.attack(identity, classes)),
                )
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            others.append(identity.thief)
    return found, others


def walk_again(
    ledger: Ledger, thief: PastThief, dataset: Dataset, settings: RunSettings, progress: Progress = SILENT
) -> Iterator[Labelled]:
    """A thief's images uint8 [N, H, W, C] and the answers to them, in the order asked; see `attack.replay.replay`.

    Args:
        ledger: has the answers.
        thief: whose.
        dataset: the victim's, as it was.
        settings: of the session: they tell the data's seed, the largest budget, and whether a pool was resized.
        progress: where to show it.

    Raises:
        DataError: another data set, or another walk.
        UsageError: its pool or strategy is not known here.
    """
    if thief.data != dataset.sha256:
        raise DataError(
            f"thief {thief.pool} {thief.strategy} seed {thief.seed} held images of other data than this {dataset.name}",
            hint="give --data (and --seed, --size) of the attack",
        )
    budget = max(settings.budgets[-1], thief.queries)
    proxy = second_hospital(settings, budget, progress)
    pools = find_pools(thief.pool, dataset, thief.seed, proxy, resize=settings.resize)
    strategy = find_strategy(thief.strategy, pools, budget, thief.seed, thief.architecture)
    classes = len(dataset.class_names)
    yield from replay(ledger, thief.identity, strategy, dataset.image_shape, classes, progress=progress)
