"""What a job means: two that mean the same are one, in a grid as between sweeps.

A job's key is a SHA-256 over its settings and over the contents of the files that they name, with what only spells the
same thing in another way made equal. So results never come to stand for other data under an old path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.runner.legacy import RUNTIME as LEGACY
from edgecat import __version__
from edgecat.settings import RunSettings
from edgecat.sweeps.pools import Device
from edgecat.sweeps.sweep_file import Point
from foundation.errors import UsageError
from foundation.files import sha256_bytes, sha256_file

# What a victim is made from; jobs that agree in these share one.
_VICTIM = ("data", "size", "skip_bad", "labels", "seed", "architecture", "epochs")
_KEY_DIGITS = 20


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        key: of what it means, hexadecimal.
        victim: key of its victim.
        settings: what is asked.
        devices: any of them can do it.
        varied: what the grid says of it, for people.
    """

    key: str
    victim: str
    settings: RunSettings
    devices: tuple[Device, ...]
    varied: Mapping[str, Any]

    @property
    def recipes(self) -> tuple[str, ...]:
        """Of the files that it needs."""
        return tuple(recipe.name for recipe in self.settings.chosen_recipes)


class Contents:
    """What files hold, each read once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, word: str | None) -> str | None:
        """A file's or folder's content where `word` is the path of one, else the word itself.

        Raises:
            UsageError: it cannot be read.
        """
        if word is None or not Path(word).exists():
            return word
        if word not in self._known:
            try:
                self._known[word] = _content(Path(word))
            except OSError as error:
                raise UsageError(f"cannot read {word}: {error.strerror}") from error
        return self._known[word]


def find_jobs(points: Sequence[Point]) -> list[Job]:
    """The jobs of a sweep, each once, in the order in which they were first asked for."""
    contents = Contents()
    found: dict[str, Job] = {}
    for point in points:
        job = _job(point, contents)
        known = found.get(job.key)
        # The same on more devices: all of them can do it.
        devices = job.devices if known is None else tuple(dict.fromkeys(known.devices + job.devices))
        found[job.key] = replace(known or job, devices=devices)
    return list(found.values())


def _job(point: Point, contents: Contents) -> Job:
    settings = point.settings
    recipes = [recipe.name for recipe in settings.chosen_recipes]
    asked = settings.model_dump(mode="json") | {
        "data": contents.of(settings.data),
        "labels": contents.of(settings.labels),
        "pools": [_pool(pool, contents) for pool in settings.pools],
        "recipes": recipes,
        "precisions": [],
        "runtimes": [LEGACY] if LEGACY in settings.runtimes else [],
        "targets": settings.target_names(recipes),
        "thief_seed": settings.first_thief,
        "device": point.pool.meaning,
    }
    victim = _key({name: asked[name] for name in _VICTIM})
    return Job(_key(asked), victim, settings, point.pool.devices, point.varied)


def _pool(name: str, contents: Contents) -> str:
    parts = [name] if Path(name).exists() else name.split("+")
    return "+".join(str(contents.of(part)) for part in parts)


def _key(asked: Mapping[str, Any]) -> str:
    # Another release may compute otherwise: its numbers are other numbers.
    document = json.dumps({**asked, "edgecat": __version__}, sort_keys=True)
    return sha256_bytes(document.encode())[:_KEY_DIGITS]


def _content(path: Path) -> str:
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = [f"{file.relative_to(path)} {sha256_file(file)}" for file in files]
    return sha256_bytes("\n".join(listed).encode())
