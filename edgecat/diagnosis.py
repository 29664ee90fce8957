"""What `edgecat doctor` looks at. Imports no torch: it must answer on a broken installation too."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path

from foundation.errors import EdgecatError

_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==([^;\s]+)")
_SPACE_BYTES = 1 << 30
_EMBEDDED = "embedded device"
_INSTALL = "install edgecat again"


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what.
        ok: whether it is as it should be.
        needed: whether `edgecat run` on the embedded device needs it.
        found: what was seen.
        hint: what brings it, where `found` does not say so itself.
        section: `host`, `devices`, `runners` or `adb`.
    """

    name: str
    ok: bool
    needed: bool
    found: str
    hint: str | None = None
    section: str = "host"


Look = Callable[[], Iterable[Check]]


def diagnose() -> list[Check]:
    """Every check, by section, in the order in which they matter."""
    looks: list[tuple[str, str, Look]] = [
        ("host", "Python", _host),
        ("devices", _EMBEDDED, _embedded_device),
        *(
            ("devices", spec, partial(_emulated, spec))
            for spec in ("sandbox:x86_64", "sandbox:arm64-v8a", "vm:arm64-v8a")
        ),
        ("runners", "native runners", _native_runners),
        ("runners", "tflite-legacy", _older_runtime),
        ("adb", "adb client", _adb),
        ("adb", "adb server", _server),
        ("adb", "USB", _usb),
    ]
    # They wait for processes and sockets: together they take as long as the slowest.
    with ThreadPoolExecutor(len(looks)) as pool:
        found = pool.map(lambda look: _looked(*look), looks)
        return [check for checks in found for check in checks]


def _looked(section: str, name: str, look: Look) -> list[Check]:
    """What a look finds; a fault of its own is a finding too."""
    try:
        checks = list(look())
    except EdgecatError as error:
        checks = [Check(name, False, name == _EMBEDDED, error.message, error.hint)]
    except ImportError as error:
        checks = [Check(name, False, True, str(error), _INSTALL)]
    return [replace(check, section=section) for check in checks]


def _host() -> Iterable[Check]:
    inside = (3, 10) <= sys.version_info[:2] <= (3, 13)
    here = f"{platform.python_version()} on {platform.platform()}"
    yield Check("Python", inside, True, here, "use Python 3.10 to 3.13")
    # The exactly pinned packages: with another version, exports and runtimes may not fit each other.
    pins = [match.groups() for line in requires("edgecat") or [] if (match := _REQUIREMENT.match(line))]
    yield from (_package(name, wanted) for name, wanted in pins)
    free = shutil.disk_usage(Path.cwd()).free
    yield Check(
        "disk space here", free > _SPACE_BYTES, True, f"{free / 2**30:.1f} GiB free", "a run takes about 50 MiB"
    )


def _package(name: str, wanted: str) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, False, True, "not installed", f"pip install {name}=={wanted}")
    # A local build tag (2.13.0+cpu) is the same version.
    return Check(name, found.partition("+")[0] == wanted, True, found, f"pip install {name}=={wanted}")


def _embedded_device() -> Iterable[Check]:
    from edge.devices.opening import open_device

    with open_device("embedded") as device:
        yield Check(_EMBEDDED, True, True, f"answers, {device.info.abi}")


def _emulated(spec: str) -> Iterable[Check]:
    from edge.devices import isolated

    if lacking := isolated.missing(spec):
        yield Check(spec, False, False, "; ".join(lacking))
    else:
        ready = "built" if isolated.built(spec) else "not built yet: its first start does it, or edgecat emulator build"
        yield Check(spec, True, False, ready)


def _native_runners() -> Iterable[Check]:
    from edge.runner import building

    built = {runner.target for runner in building.list_built()}
    for flavour, engines in building.ENGINES.items():
        for abi in building.ABIS:
            here = [engine for engine in engines if building.make_target(abi, flavour, engine) in built]
            lacking = [] if len(here) == len(engines) else building.missing(abi, flavour)
            name = f"{flavour} runners for {abi}"
            if lacking:
                whats, hints = "; ".join(m.what for m in lacking), "; ".join(m.hint for m in lacking)
                yield Check(name, False, False, f"no {whats}", hints)
            else:
                rest = [f"{engine} not built yet: its first use does it" for engine in engines if engine not in here]
                yield Check(name, True, False, "; ".join([*(f"{engine} built" for engine in here), *rest]))


def _older_runtime() -> Iterable[Check]:
    from edge.runner import legacy

    lacking = legacy.missing()
    yield Check("tflite-legacy", not lacking, False, "; ".join(lacking) or f"tflite-runtime {legacy.VERSION} is set up")


def _adb() -> Iterable[Check]:
    found = shutil.which("adb") or _bundled_adb()
    hint = "apt-get install adb, or the platform tools of Android's SDK; needed for phones only"
    yield Check("adb client", found is not None, False, found or "not found", hint)


def _bundled_adb() -> str | None:
    """The client that adbutils' wheel carries on some platforms. Not imported: that fails where its settings do."""
    spec = find_spec("adbutils")
    folder = Path(spec.origin).parent / "binaries" if spec and spec.origin else None
    adb = None if folder is None else folder / "adb"
    return str(adb) if adb is not None and adb.is_file() else None


def _server() -> Iterable[Check]:
    from edge.adb.server import list_server_devices, server_runs

    if server_runs():
        yield Check("adb server", True, False, f"runs, {len(list_server_devices())} device(s)")
    else:
        yield Check("adb server", False, False, "none runs", "adb start-server; needed for phones only")


def _usb() -> Iterable[Check]:
    from edge.adb import usb

    lacking = usb.missing()
    yield Check("USB", not lacking, False, "; ".join(lacking) or f"libusb, {len(usb.list_usb_devices())} phone(s)")
