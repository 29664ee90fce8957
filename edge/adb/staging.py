"""Where files wait on the device until they are whole: a hidden directory beside their target."""

from __future__ import annotations

import contextlib
import posixpath
import re
import secrets
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.adb.cleanup import CleanupShell
from foundation.errors import DeviceError

if TYPE_CHECKING:
    from edge.adb.client import Adb

_PATTERN = ".edgecat-????????????.partial"
# By the time of change of the inode: the device's own clock, which no pushed time stamp alters. `+1` is more than a
# day in toybox, more than two elsewhere; `+0` would be more than a second in toybox.
_OLD = "-ctime +1"
_FREE = re.compile(r"\s\d+\s+\d+\s+(\d+)\s+\d+%\s")


class Staging:
    """A directory of its own on the device, gone when the `with` block ends, also if the host vanishes within it.

    What a device that was switched off in the middle still has of older ones goes with it after a day.

    Args:
        adb: the device.
        directory: where the files shall be in the end; made if need be.
        needed: bytes that are to go there.

    Raises:
        DeviceError: it cannot be made; says why.

    Attributes:
        path: of the staging directory, on the same file system as `directory`.
        shell: to move files out of it.
    """

    def __init__(self, adb: Adb, directory: str, needed: int = 0) -> None:
        directory = sheltered(directory or ".")
        self.path = posixpath.join(directory, f".edgecat-{secrets.token_hex(6)}.partial")
        mine, place = shlex.quote(self.path), shlex.quote(directory)
        sweep = f"find {place} -maxdepth 1 -name '{_PATTERN}' {_OLD} -exec rm -rf {{}} + 2>/dev/null"
        # adb's daemon may still write files, with their directories, that were on their way when the host vanished.
        late = f'[ "$regular" ] || {{ sleep 1; rm -rf {mine}; }}'
        self.shell = CleanupShell(adb.connection, f"rm -rf {mine}; {late}; {sweep}")
        try:
            with explaining(adb, directory, needed):
                self.shell.check(f"mkdir -p {place} && mkdir {mine}")
        except BaseException:
            self.shell.close()
            raise

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.shell.close()
            return
        # What failed or was interrupted may still be on its way to adb's daemon: gone now, and once more in a moment.
        with contextlib.suppress(DeviceError):
            self.shell.run(f"rm -rf {shlex.quote(self.path)}")
        self.shell.abandon()


def sheltered(path: str) -> str:
    """The same path, written so that no command takes it for an option."""
    return f"./{path}" if path.startswith("-") else path


def not_whole(adb: Adb, remote: str) -> DeviceError:
    """What to say where the bytes that arrived are not those that were sent."""
    return DeviceError(f"{remote} did not arrive whole", device=adb.serial, hint="try again, or try another cable")


@contextlib.contextmanager
def explaining(adb: Adb, directory: str, needed: int) -> Iterator[None]:
    """Tell what a write below `directory` that fails in the block means, and what to do about it.

    Args:
        adb: the device.
        directory: where is written.
        needed: bytes that go there.
    """
    try:
        yield
    except DeviceError as error:
        told = _explained(adb, directory, needed, error)
        if told is None:
            raise
        raise told from error


def _explained(adb: Adb, directory: str, needed: int, error: DeviceError) -> DeviceError | None:
    words = error.stderr or error.message
    if "No space left" in words or "quota exceeded" in words:
        free = free_bytes(adb, directory)
        told = f"{needed:,} bytes were to go there" + ("" if free is None else f", {free:,} bytes are free")
        return DeviceError(
            f"no space left in {directory}: {told}",
            device=adb.serial,
            stderr=words,
            hint="remove what is not needed there, or choose another directory",
        )
    reasons = {"Read-only file system": "its file system is read-only", "Permission denied": "adb's user may not"}
    for known, reason in reasons.items():
        if known in words:
            return DeviceError(
                f"{directory} cannot be written: {reason}",
                device=adb.serial,
                stderr=words,
                hint="on Android write below /data/local/tmp, as edgecat does by default",
            )
    return None


def free_bytes(adb: Adb, directory: str) -> int | None:
    """Bytes that are free where `directory` is; None where the device does not say."""
    try:
        said = adb.shell(f"df -Pk {shlex.quote(sheltered(directory))}").stdout.decode(errors="replace")
    except DeviceError:
        return None
    found = _FREE.findall(said)
    return int(found[-1]) << 10 if found else None
