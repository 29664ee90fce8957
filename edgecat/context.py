"""The machine and the software behind a run's numbers."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

from benchmarks.records import Context
from edge.devices.spec import parse_spec
from edgecat import __version__
from edgecat.settings import RunSettings
from foundation import machine

_PACKAGES = (
    "torch",
    "torchao",
    "executorch",
    "litert-torch",
    "litert-converter",
    "ai-edge-litert",
    "numpy",
    "scipy",
    "scikit-learn",
    "adb-shell",
    "adbutils",
)


def describe_run(settings: RunSettings, run_id: str) -> Context:
    """The first record of a run."""
    told = settings.model_dump(mode="json")
    return describe_context(run_id, settings.device, told, seed=settings.seed, quick=settings.quick)


def describe_context(
    run_id: str, spec: str, settings: Mapping[str, JsonValue], *, seed: int, quick: bool = False
) -> Context:
    """This machine, its software and how they were asked. What the system does not tell is null.

    Args:
        run_id: of the records that follow.
        spec: the device's, as it was asked for or as it calls itself; a phone's serial number stays a hash.
        settings: what was asked.
        seed: of everything drawn.
        quick: whether it was smaller than it should be.
    """
    device = parse_spec(spec)
    words = [word.replace(str(device), device.anonymous) for word in sys.argv[1:]]
    return Context(
        run_id=run_id,
        command=[Path(sys.argv[0]).name, *words],
        edgecat_version=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=machine.processor(),
        cores=machine.cores(),
        memory_bytes=machine.memory_bytes(),
        versions={name: found for name in _PACKAGES if (found := _version(name)) is not None},
        quick=quick,
        seed=seed,
        settings={**settings, "device": device.anonymous},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
