"""Files to and from the device: the host's side of adb's sync service, versions 1 and 2, uncompressed."""

from __future__ import annotations

import io
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from edge.adb.stream import Connection, Stream
from edge.adb.sync_records import (
    CHUNK,
    LONGEST_PATH,
    NAME_LENGTH,
    RECEIVE_2,
    REQUEST,
    SEND_2,
    STAT_1,
    STAT_2,
    FileStat,
    Readable,
    data_chunks,
    payload_bytes,
    request,
)
from foundation.errors import DeviceError, ProtocolError, UsageError
from foundation.progress import SILENT, Advance, Progress

_ENOENT = 2
_REGULAR_FILE = 0o100000
_FILES_AHEAD = 32


class Sync:
    """One sync stream; takes one request after another. Use as a context manager."""

    def __init__(self, connection: Connection) -> None:
        self._device = connection.serial
        self._features = connection.features
        self._stream: Stream = connection.open("sync:")

    def __enter__(self) -> Sync:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def stat(self, path: str) -> FileStat | None:
        """What the device tells of `path`, symbolic links followed where it knows `stat_v2`; None: no such file.

        Raises:
            DeviceError: the device cannot look.
        """
        name, size, unpack = self._stat_version(b"STAT", b"STA2", "stat_v2")
        self._stream.send(request(name, path))
        self._expect(self._stream.receive(4), name, path)
        found = unpack(self._stream.receive(size))
        if found.error == _ENOENT:
            return None
        if found.error:
            raise DeviceError(f"cannot stat {path}: {os.strerror(found.error)}", device=self._device)
        return found

    def list(self, path: str) -> dict[str, FileStat]:
        """The entries of a directory by name, without `.` and `..`. Empty also where there is no such directory."""
        name, size, unpack = self._stat_version(b"LIST", b"LIS2", "ls_v2")
        entry = b"DENT" if name == b"LIST" else b"DNT2"
        self._stream.send(request(name, path))
        found: dict[str, FileStat] = {}
        while True:
            kind = self._stream.receive(4)
            if kind != b"DONE":
                self._expect(kind, entry, path)
            record = unpack(self._stream.receive(size))
            (length,) = NAME_LENGTH.unpack(self._stream.receive(NAME_LENGTH.size))
            if kind == b"DONE":
                return found
            if length > LONGEST_PATH:
                raise ProtocolError(f"a file name of {length} bytes in {path}", device=self._device)
            child = self._stream.receive(length).decode("utf-8", "surrogateescape")
            if child not in (".", ".."):
                found[child] = record

    def push(self, local: Path | bytes, remote: str, mode: int = 0o644, progress: Progress = SILENT) -> None:
        """Write a file on the device; directories on the way are made.

        Args:
            local: a file, or its content.
            remote: the file's name on the device.
            mode: its permission bits there.
            progress: told of bytes sent.

        Raises:
            DeviceError: the device cannot write it; carries the device's words.
            UsageError: `local` cannot be read.
        """
        with _opened(local) as (_, size, _), progress.task(f"push {remote}", size) as advance:
            self.write(local, remote, mode, advance)

    def write(self, local: Path | bytes, remote: str, mode: int, advance: Advance) -> None:
        """Write a file on the device; see `push`. `advance` is told of every byte sent."""
        self._send(local, remote, mode, advance)
        self._confirm(remote)

    def write_all(self, files: Iterable[tuple[Path, str, int]], advance: Advance) -> None:
        """Write files on the device, each (local, remote, mode); see `write`.

        The next ones are on their way while the device still writes the first: small files take no longer than their
        bytes do.
        """
        # Without acknowledgement by bytes a device could wait for us to take its answer while we wait for it.
        ahead = _FILES_AHEAD if "delayed_ack" in self._features else 0
        unconfirmed: deque[str] = deque()
        for local, remote, mode in files:
            self._send(local, remote, mode, advance)
            unconfirmed.append(remote)
            if len(unconfirmed) > ahead:
                self._confirm(unconfirmed.popleft())
        for remote in unconfirmed:
            self._confirm(remote)

    def _send(self, local: Path | bytes, remote: str, mode: int, advance: Advance) -> None:
        with _opened(local) as (stream, _, mtime):
            self._stream.send(self._send_request(remote, _REGULAR_FILE | (mode & 0o777)))
            for part in data_chunks(stream):
                self._stream.send(part)
                advance(payload_bytes(part))
            self._stream.send(REQUEST.pack(b"DONE", mtime))

    def _confirm(self, remote: str) -> None:
        kind = self._stream.receive(4)
        self._expect(kind, b"OKAY", remote)
        self._stream.receive(4)

    def pull(self, remote: str, local: Path, progress: Progress = SILENT) -> None:
        """Read a file from the device; `local` is whole or, on any error, as it was.

        Raises:
            DeviceError: the device cannot read it; carries the device's words.
            UsageError: `local` cannot be written.
        """
        from foundation.files import replacing

        with (
            replacing(local) as temporary,
            temporary.open("wb") as stream,
            progress.task(f"pull {remote}") as advance,
        ):
            for piece in self.read(remote):
                stream.write(piece)
                advance(len(piece))

    def read(self, remote: str) -> Iterator[bytes]:
        """A file of the device, piece by piece. Whoever stops before the end must close the stream.

        Raises:
            DeviceError: the device cannot read it; carries the device's words.
        """
        if "sendrecv_v2" in self._features:
            self._stream.send(request(b"RCV2", remote) + RECEIVE_2.pack(b"RCV2", 0))
        else:
            self._stream.send(request(b"RECV", remote))
        while (kind := self._stream.receive(4)) != b"DONE":
            self._expect(kind, b"DATA", remote)
            (size,) = NAME_LENGTH.unpack(self._stream.receive(NAME_LENGTH.size))
            if size > CHUNK:
                raise ProtocolError(f"a chunk of {size} bytes for {remote}", device=self._device)
            yield self._stream.receive(size)
        self._stream.receive(4)

    def _stat_version(
        self, first: bytes, second: bytes, feature: str
    ) -> tuple[bytes, int, Callable[[bytes], FileStat]]:
        if feature in self._features:
            return second, STAT_2.size, FileStat.unpack_2
        return first, STAT_1.size, FileStat.unpack_1

    def _send_request(self, remote: str, mode: int) -> bytes:
        if "sendrecv_v2" in self._features:
            return request(b"SND2", remote) + SEND_2.pack(b"SND2", mode, 0)
        return request(b"SEND", f"{remote},{mode}")

    def _expect(self, kind: bytes, wanted: bytes, path: str) -> None:
        if kind == b"FAIL":
            self._raise_failure(path)
        if kind != wanted:
            raise ProtocolError(f"sync answers {kind!r} where {wanted!r} is due", device=self._device)

    def _raise_failure(self, path: str) -> NoReturn:
        (size,) = NAME_LENGTH.unpack(self._stream.receive(NAME_LENGTH.size))
        words = self._stream.receive(min(size, CHUNK)).decode("utf-8", "replace")
        raise DeviceError(f"cannot transfer {path}", device=self._device, stderr=words)


@contextmanager
def _opened(local: Path | bytes) -> Iterator[tuple[Readable, int, int]]:
    """A readable stream, its size and its time of change."""
    if isinstance(local, bytes):
        yield io.BytesIO(local), len(local), int(time.time())
        return
    try:
        stream = local.open("rb", buffering=0)
    except OSError as error:
        raise UsageError(f"cannot read {local}: {error.strerror}") from error
    with stream:
        known = os.fstat(stream.fileno())
        yield stream, known.st_size, int(known.st_mtime)
