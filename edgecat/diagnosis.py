"""What `edgecat doctor` looks at. Imports no torch: it must answer on a broken installation too."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from foundation.errors import EdgecatError

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^;\s]+)")
_SPACE_BYTES = 1 << 30


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what.
        ok: whether it is as it should be.
        needed: whether `edgecat run` on the embedded device needs it.
        found: what was seen.
        hint: what brings it.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    hint: str | None = None


def diagnose() -> list[Check]:
    """Every check, in the order in which they matter."""
    return [_python(), *_packages(), _embedded_device(), _adb(), _server(), _space()]


def _python() -> Check:
    inside = (3, 10) <= sys.version_info[:2] <= (3, 13)
    return Check(
        "Python", inside, True, f"{platform.python_version()} on {platform.platform()}", "use Python 3.10 to 3.13"
    )


def _packages() -> list[Check]:
    """The exactly pinned packages: with another version, exports and runtimes may not fit each other."""
    pins = [match.groups() for line in requires("edgecat") or [] if (match := _REQUIREMENT.match(line))]
    return [_package(name, wanted) for name, wanted in pins]


def _package(name: str, wanted: str) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, False, True, "not installed", f"pip install {name}=={wanted}")
    # A local build tag (2.13.0+cpu) is the same version.
    return Check(name, found.partition("+")[0] == wanted, True, found, f"pip install {name}=={wanted}")


def _embedded_device() -> Check:
    from edge.devices.opening import open_device

    try:
        with open_device("embedded") as device:
            return Check("embedded device", True, True, f"answers, {device.info.abi}")
    except EdgecatError as error:
        return Check("embedded device", False, True, error.message, error.hint)


def _adb() -> Check:
    found = shutil.which("adb") or _bundled_adb()
    hint = "apt-get install adb, or the platform tools of Android's SDK; needed for phones only"
    return Check("adb client", found is not None, False, found or "not found", hint)


def _bundled_adb() -> str | None:
    """The client that adbutils' wheel carries on some platforms."""
    from importlib.util import find_spec

    spec = find_spec("adbutils")
    folder = Path(spec.origin).parent / "binaries" if spec and spec.origin else None
    adb = None if folder is None else folder / "adb"
    return str(adb) if adb is not None and adb.is_file() else None


def _server() -> Check:
    from edge.adb.server import list_server_devices, server_runs

    hint = "adb start-server; needed for phones only"
    try:
        if not server_runs():
            return Check("adb server", False, False, "none runs", hint)
        return Check("adb server", True, False, f"runs, {len(list_server_devices())} device(s)", hint)
    except EdgecatError as error:
        return Check("adb server", False, False, error.message, error.hint)


def _space() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    return Check(
        "disk space here", free > _SPACE_BYTES, True, f"{free / 2**30:.1f} GiB free", "a run takes about 50 MiB"
    )
