"""A million queries through one ledger, against the channel without one: rates, memory, and what lands on disk."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from attack.budget import BudgetedOracle
from attack.extraction import MOST_AT_ONCE
from attack.hashes import HASH_BYTES
from attack.ledger import AttackIdentity, Ledger
from attack.oracle import Oracle
from benchmarks.proof import Check, at_least, at_most

# What is asked in one call, of the channel too: as many as an attack asks that need not look at the answers in between.
ASKED_AT_ONCE = MOST_AT_ONCE
_ROUNDS = 10
_Raw = dict[str, JsonValue]


def measure(oracle: Oracle, folder: Path, *, quick: bool = False) -> _Raw:
    """Ask a deployed model about a million distinct images (quick: 100,000), through a ledger in `folder`.

    In ten rounds: a tenth of the million through the ledger, before and after it a tenth of a fifth as many images
    without. So the noise of a shared machine meets both. Making the images is not counted.

    Returns:
        `queries`; images per second by round, `ledger_per_second`, and `channel_per_second`, the mean of before and
        after; `share`, the median over rounds of their ratio; `share_of_whole`, of all images over all seconds; this
        process's memory in KiB before the first query and after each round; `file_bytes` once all is in one file.
    """
    queries = 100_000 if quick else 1_000_000
    images = _Images(oracle.image_shape)
    _ask_channel(oracle, images, queries // 50)
    with tempfile.TemporaryDirectory(dir=folder, prefix="million-") as name:
        path = Path(name) / "ledger.sqlite"
        with Ledger(path) as ledger:
            identity = AttackIdentity(oracle.identity, oracle.policy, "million")
            asking = BudgetedOracle(oracle, ledger.attack(identity, oracle.classes), queries)
            memory = [resident_kib()]
            asked: list[float] = []
            channel = [_ask_channel(oracle, images, queries // 50)]
            for _ in range(_ROUNDS):
                asked.append(_ask_ledger(asking, images, queries // _ROUNDS))
                memory.append(resident_kib())
                channel.append(_ask_channel(oracle, images, queries // 50))
        # Closing the last connection folded the journal into the file.
        size = path.stat().st_size
    return _figures(asking.asked, asked, channel, memory, size)


def checks(raw: dict[str, Any] | None, quick: bool = False) -> list[Check]:
    """The bounds of the issue over what `measure` gave, if it did; a quick run does not stand for the million."""
    queries = share = beyond = grown = None
    if raw is not None:
        queries, share = raw["queries"], raw["share"]
        beyond, grown = raw["file_bytes"] / raw["queries"] - HASH_BYTES, raw["growth_kib"] / 1024
    return [
        at_least("queries through one ledger", None if quick else queries, 1_000_000),
        at_least("rate with the ledger, share of the channel's", share, 0.8),
        at_most("ledger beyond the images' hashes", beyond, 100, "bytes/query"),
        at_most("host memory grown meanwhile", None if quick else grown, 64, "MiB"),
    ]


def resident_kib() -> int:
    """This process's resident memory."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


class _Images:
    """Distinct images without end: one block of noise, with a running number in its first pixels."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._block = np.random.default_rng(0).integers(0, 256, (ASKED_AT_ONCE, *shape), np.uint8)
        self._next = 0

    def take(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """So many images, `ASKED_AT_ONCE` at a time; each block is gone when the next is taken."""
        for start in range(0, count, ASKED_AT_ONCE):
            block = self._block[: min(ASKED_AT_ONCE, count - start)]
            numbers = np.arange(self._next, self._next + len(block), dtype="<u8")
            block.reshape(len(block), -1)[:, :8] = numbers.view(np.uint8).reshape(-1, 8)
            self._next += len(block)
            yield block


def _ask_channel(oracle: Oracle, images: _Images, count: int) -> float:
    """Images a second without a ledger."""
    seconds = 0.0
    for block in images.take(count):
        start = time.perf_counter()
        oracle.query(block)
        seconds += time.perf_counter() - start
    return count / seconds


def _ask_ledger(asking: BudgetedOracle, images: _Images, count: int) -> float:
    """Images a second through the ledger; every answer is on disk when its block is done."""
    seconds = 0.0
    for block in images.take(count):
        origins = ["benchmark"] * len(block)
        start = time.perf_counter()
        asking.ask(block, origins)
        seconds += time.perf_counter() - start
    return count / seconds


def _figures(queries: int, asked: list[float], channel: list[float], memory: list[int], size: int) -> _Raw:
    beside = [statistics.harmonic_mean(pair) for pair in itertools.pairwise(channel)]
    whole = statistics.harmonic_mean(asked)
    return {
        "queries": queries,
        "asked_at_once": ASKED_AT_ONCE,
        "ledger_per_second": list[JsonValue](asked),
        "channel_per_second": list[JsonValue](channel),
        "share": statistics.median(mine / bare for mine, bare in zip(asked, beside, strict=True)),
        "share_of_whole": whole / statistics.harmonic_mean(channel),
        "per_second": whole,
        "host_resident_kib": list[JsonValue](memory),
        "growth_kib": max(memory) - memory[0],
        "file_bytes": size,
        "load_average_after": list[JsonValue](os.getloadavg()),
    }
