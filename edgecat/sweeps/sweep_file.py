"""SWEEP.toml: settings that all jobs share, and a grid of those in which they differ."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_origin

from edgecat.settings import RunSettings, make_settings
from edgecat.sweeps.pools import DevicePool, parse_pool
from foundation.errors import UsageError
from foundation.settings_files import read_toml

_FIELDS = RunSettings.model_fields
_SEVERAL = frozenset(name for name, field in _FIELDS.items() if get_origin(field.annotation) is tuple)
_DEVICES = "devices"
_MOST_JOBS = 100_000
_EXAMPLE = 'as in: [grid] with the line pools = ["npd", "pd:100"]'


@dataclass(frozen=True)
class Point:
    """One job as the grid names it.

    Attributes:
        settings: of the run; its device is the pool's first.
        pool: where it may run.
        varied: what the grid says of it, by axis.
    """

    settings: RunSettings
    pool: DevicePool
    varied: Mapping[str, Any]


def read_sweep(path: Path) -> list[Point]:
    """Every point of the grids of a sweep's file, in the file's order, the last axis running fastest.

    The file has a table `settings` (fields of `RunSettings`) and a table `grid` or several: each line there is an axis,
    a field of `RunSettings` with a list of its values. Where a field holds several words itself (pools, strategies,
    recipes, budgets), a value is one word, or a list of them that go together. The axis `devices` has device specs,
    `SPEC*N`, and lists of devices that stand for each other; see `edgecat.sweeps.pools.parse_pool`.

    Raises:
        DataError: the file cannot be read.
        UsageError: it is not TOML, has something else in it, or asks for no job or for what cannot work.
    """
    document = read_toml(path)
    unknown = sorted(set(document) - {"settings", "grid"})
    if unknown:
        raise UsageError(f"{path}: unknown table or field {unknown[0]!r}", hint="it has the tables settings and grid")
    shared, grids = document.get("settings", {}), document.get("grid")
    grids = [grids] if isinstance(grids, dict) else grids
    if not isinstance(shared, dict) or not isinstance(grids, list) or not all(isinstance(g, dict) for g in grids):
        raise UsageError(f"{path} has no table grid", hint=_EXAMPLE)
    _check_names(path, shared)
    points = [point for grid in grids for point in _points(path, shared, grid)]
    if not points:
        raise UsageError(f"{path} asks for no job", hint=_EXAMPLE)
    return points


def _check_names(path: Path, table: Mapping[str, Any], *, axes: bool = False) -> None:
    for name in table:
        if name == "device" and axes:
            raise UsageError(f"{path}: the axis of devices is called {_DEVICES}", hint=f'{_DEVICES} = ["embedded*4"]')
        if name not in _FIELDS and not (axes and name == _DEVICES):
            raise UsageError(
                f"{path}: no setting is called {name!r}", hint=f"one of {', '.join(_FIELDS)}; in a grid also {_DEVICES}"
            )


def _points(path: Path, shared: Mapping[str, Any], grid: Mapping[str, Any]) -> Iterator[Point]:
    _check_names(path, grid, axes=True)
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"{path}: axis {name} is no list of values: it asks for no job", hint=_EXAMPLE)
    if (count := math.prod(map(len, grid.values()))) > _MOST_JOBS:
        raise UsageError(f"{path} asks for {count:,} jobs, more than {_MOST_JOBS:,}", hint="make several sweeps of it")
    for values in itertools.product(*grid.values()):
        varied = dict(zip(grid, values, strict=True))
        try:
            yield _point(shared, varied)
        except UsageError as error:
            raise UsageError(f"{path}: {error.message} ({_words(varied)})", hint=error.hint) from error


def _point(shared: Mapping[str, Any], varied: Mapping[str, Any]) -> Point:
    settings = dict(shared) | {name: value for name, value in varied.items() if name != _DEVICES}
    pool = parse_pool(varied.get(_DEVICES, settings.pop("device", "embedded")))
    for name in _SEVERAL & set(settings):
        settings[name] = tuple(settings[name]) if isinstance(settings[name], list) else (settings[name],)
    made = make_settings(**settings, device=pool.spec)
    _check_words(made)
    return Point(made, pool, varied)


def _check_words(settings: RunSettings) -> None:
    """What can be told of names without data: a sweep of hours must not find a misspelt pool at its end."""
    # They load torch; wrong fields are told before.
    from attack.copycat import check_learner
    from attack.strategies import check_strategy

    check_learner(settings.learner)
    for strategy in settings.strategies:
        check_strategy(strategy)
    for pool in settings.pools:
        for part in [pool] if Path(pool).exists() else pool.split("+"):
            if not re.fullmatch(r"none|npd|proxy|pd:[1-9][0-9]*", part) and not Path(part).exists():
                raise UsageError(f"unknown pool {part!r}", hint="use npd, proxy, pd:N, none, or a folder or .npz")
    if settings.data != "phantom" and not Path(settings.data).exists():
        raise UsageError(f"no data at {settings.data}", hint="use phantom, an .npz or a folder")


def _words(varied: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in varied.items())
