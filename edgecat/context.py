"""The machine and the software behind a run's numbers."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

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


def describe_context(settings: RunSettings, run_id: str) -> Context:
    """The first record of a run. What the system does not tell is null; a phone's serial number stays a hash."""
    device = parse_spec(settings.device)
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
        quick=settings.quick,
        seed=settings.seed,
        settings=settings.model_dump(mode="json") | {"device": device.anonymous},
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
