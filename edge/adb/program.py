"""The adb program: where it is on this machine, and how it is made to run its server."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

from foundation.errors import DeviceError

_START_SECONDS = 20.0
_HERE = ("127.0.0.1", "localhost", "::1")


def find_adb() -> Path:
    """The adb program: the one in adbutils' wheel (it can pair), else the one on PATH.

    Raises:
        DeviceError: there is none for this machine.
    """
    import adbutils  # type: ignore[import-untyped]

    bundled = Path(adbutils.__file__).parent / "binaries" / "adb"
    found = shutil.which("adb")
    if bundled.is_file() and _runs(bundled):
        return bundled
    if found is not None and _runs(Path(found)):
        return Path(found)
    machine = f"{platform.system()} {platform.machine()}"
    raise DeviceError(
        f"no adb program for this machine ({machine})",
        hint="install adb (apt install adb, brew install android-platform-tools), or use tcp:HOST:PORT without it",
    )


def ensure_server() -> None:
    """Start an adb server where the environment says that one should be, unless one runs; see `start_server`."""
    from edge.adb.server import server_address, server_runs

    if not server_runs():
        start_server(*server_address())


def start_server(host: str, port: int) -> None:
    """Start an adb server where none runs; it goes on running, as adb's own does. Prints nothing.

    Raises:
        DeviceError: there is no adb program, or it cannot start its server.
    """
    if host not in _HERE:
        raise DeviceError(f"no adb server on {host}:{port}", hint="start one there: adb -a nodaemon server")
    command = [str(find_adb()), "-P", str(port), "start-server"]
    # Under our own variables a server would wait for one device only, or be looked for somewhere else.
    known = {name: value for name, value in os.environ.items() if name not in ("ANDROID_SERIAL", "ADB_SERVER_SOCKET")}
    try:
        done = subprocess.run(
            command, env=known, stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _not_started(host, port, str(error)) from error
    if done.returncode:
        raise _not_started(host, port, _reason(done.stderr.decode(errors="replace")))


def _not_started(host: str, port: int, words: str) -> DeviceError:
    return DeviceError(
        f"no adb server runs on {host}:{port}, and none could be started: {words}",
        hint="see `adb start-server`, or use tcp:HOST:PORT without a server",
    )


def _reason(words: str) -> str:
    """The line of adb's start-up log that says why: the fatal one, else the last."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    fatal = [line for line in lines if " F " in line or "cannot bind" in line]
    return (fatal or lines or ["it says nothing"])[-1]


def _runs(program: Path) -> bool:
    """Whether it is for this machine: wheels carry it for some architectures only."""
    try:
        return not subprocess.run([program, "version"], capture_output=True, timeout=10, check=False).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False
