"""A file on its way in: under a temporary name until it is whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat as stat_bits
from collections.abc import Iterator
from pathlib import Path


class Arrival:
    """Takes the content of a file, or the target of a symbolic link, and puts it in its place at the end."""

    def __init__(self, place: Path, mode: int) -> None:
        self._place = place
        self._mode = mode
        self._is_link = stat_bits.S_ISLNK(mode)
        self._link = b""
        self.temporary = place.parent / f".adb-{os.getpid()}-{secrets.token_hex(6)}.partial"
        place.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        self._descriptor = -1 if self._is_link else os.open(self.temporary, flags, 0o600)

    def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            OSError: they cannot be written (no space left, read-only, …).
        """
        if self._is_link:
            self._link += chunk
            if len(self._link) > os.pathconf("/", "PC_PATH_MAX"):
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
            return
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def finish(self, mtime: int) -> None:
        """Give the file its mode and time, and its name.

        Raises:
            OSError: that cannot be.
        """
        if self._is_link:
            self.temporary.symlink_to(os.fsdecode(self._link.rstrip(b"\0")))
        else:
            os.fchmod(self._descriptor, self._mode & 0o777)
            os.utime(self._descriptor, (mtime, mtime))
            self.close()
        self.temporary.replace(self._place)

    def close(self) -> None:
        """Give the descriptor back; some file systems report a full disk only here."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


@contextlib.contextmanager
def arriving(place: Path, mode: int) -> Iterator[Arrival]:
    """Receive a file into `place`; unless `finish` was reached, nothing stays behind.

    Raises:
        OSError: it cannot be written there.
    """
    arrival = Arrival(place, mode)
    try:
        yield arrival
    finally:
        with contextlib.suppress(OSError):
            arrival.close()
        arrival.temporary.unlink(missing_ok=True)
