"""The embedded device's sync service: stat, list, send and receive files, versions 1 and 2, uncompressed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from edge.adb.multiplex import MuxStream
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
    data_chunks,
)
from edge.devices.embedded.arrival import arriving
from edge.devices.embedded.confinement import Confinement, OutsideRoot
from foundation.errors import ProtocolError

_COMPRESSION = 0b111
_NOWHERE = FileStat(0, 0, 0, errno.ENOENT)


class SyncService:
    """Serves the requests of one sync stream."""

    def __init__(self, confinement: Confinement, stream: MuxStream) -> None:
        self._confinement = confinement
        self._stream = stream
        self._done = True
        self._mtime = 0

    def serve(self) -> None:
        """Until the host says QUIT or ends the stream.

        Raises:
            DeviceError: the stream ended within a request, or the host breaks the protocol.
        """
        answers = {
            b"STAT": self._stat_1,
            b"STA2": self._stat_2,
            b"LST2": self._lstat_2,
            b"LIST": self._list_1,
            b"LIS2": self._list_2,
            b"SEND": self._send_1,
            b"SND2": self._send_2,
            b"RECV": self._receive_1,
            b"RCV2": self._receive_2,
        }
        while True:
            name, size = REQUEST.unpack(self._stream.receive(REQUEST.size))
            if name == b"QUIT":
                return
            if name not in answers or size > LONGEST_PATH:
                self._fail(f"unknown sync request {name!r} of {size} bytes")
                return
            answers[name](self._stream.receive(size).decode("utf-8", "surrogateescape"))

    def _fail(self, words: str) -> None:
        encoded = words.encode("utf-8", "surrogateescape")
        self._stream.send(REQUEST.pack(b"FAIL", len(encoded)) + encoded)

    def _stat_1(self, path: str) -> None:
        self._stream.send(b"STAT" + self._look(path, follow=False).pack_1())

    def _stat_2(self, path: str) -> None:
        self._stream.send(b"STA2" + self._look(path, follow=True).pack_2())

    def _lstat_2(self, path: str) -> None:
        self._stream.send(b"LST2" + self._look(path, follow=False).pack_2())

    def _look(self, path: str, *, follow: bool) -> FileStat:
        # Outside the root there is nothing, as far as this device goes: stat has no words to say more.
        try:
            place = self._confinement.target(path) if follow else self._confinement.entry(path)
        except OutsideRoot:
            return _NOWHERE
        return _file_stat(place)

    def _list_1(self, path: str) -> None:
        self._list(path, b"DENT", STAT_1.size)

    def _list_2(self, path: str) -> None:
        self._list(path, b"DNT2", STAT_2.size)

    def _list(self, path: str, entry: bytes, stat_size: int) -> None:
        try:
            directory = self._confinement.target(path)
            names = [".", "..", *sorted(os.listdir(directory))]  # noqa: PTH208  -- names, with surrogates if need be
        except OutsideRoot as error:
            self._fail(str(error))
            return
        except OSError:
            names = []
        answer = bytearray()
        for name in names:
            encoded = os.fsencode(name)
            found = _file_stat(directory if name == ".." else directory / name)
            record = found.pack_1() if entry == b"DENT" else found.pack_2()
            answer += entry + record + NAME_LENGTH.pack(len(encoded)) + encoded
        self._stream.send(answer + b"DONE" + bytes(stat_size + NAME_LENGTH.size))

    def _send_1(self, argument: str) -> None:
        path, _, mode = argument.rpartition(",")
        if not mode.isdigit():
            raise ProtocolError(f"SEND without a mode: {argument!r}")
        self._save(path, int(mode), "")

    def _send_2(self, path: str) -> None:
        _, mode, flags = SEND_2.unpack(self._stream.receive(SEND_2.size))
        self._save(path, mode, "compression is not supported" if flags & _COMPRESSION else "")

    def _save(self, path: str, mode: int, objection: str) -> None:
        """Take a file to a temporary name and rename it when it is whole; on a failure nothing stays behind."""
        self._done = False
        try:
            if objection:
                raise OSError(errno.EOPNOTSUPP, objection)
            with arriving(self._confinement.entry(path), mode) as arrival:
                for chunk in self._chunks():
                    arrival.write(chunk)
                arrival.finish(self._mtime)
        except OutsideRoot as error:
            self._refuse_rest(str(error))
        except OSError as error:
            self._refuse_rest(f"cannot write {path}: {error.strerror or error}")
        else:
            self._stream.send(REQUEST.pack(b"OKAY", 0))

    def _chunks(self) -> Iterator[bytes]:
        while True:
            kind, size = REQUEST.unpack(self._stream.receive(REQUEST.size))
            if kind == b"DONE":
                self._mtime = size
                self._done = True
                return
            if kind != b"DATA" or size > CHUNK:
                raise ProtocolError(f"{kind!r} of {size} bytes within a file")
            yield self._stream.receive(size)

    def _refuse_rest(self, words: str) -> None:
        """Say why at once, then take what the host still sends: it looks at the answer when it is through."""
        self._fail(words)
        if not self._done:
            for _ in self._chunks():
                pass

    def _receive_1(self, path: str) -> None:
        self._load(path, "")

    def _receive_2(self, path: str) -> None:
        _, flags = RECEIVE_2.unpack(self._stream.receive(RECEIVE_2.size))
        self._load(path, "compression is not supported" if flags & _COMPRESSION else "")

    def _load(self, path: str, objection: str) -> None:
        try:
            if objection:
                raise OSError(errno.EOPNOTSUPP, objection)
            place = self._confinement.target(path)
            if place.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            with place.open("rb", buffering=0) as stream:
                for piece in data_chunks(stream):
                    self._stream.send(piece)
        except OutsideRoot as error:
            self._fail(str(error))
        except OSError as error:
            self._fail(f"cannot read {path}: {error.strerror or error}")
        else:
            self._stream.send(REQUEST.pack(b"DONE", 0))


def _file_stat(place: Path) -> FileStat:
    try:
        found = place.lstat()
    except OSError as error:
        return FileStat(0, 0, 0, error.errno or errno.EIO)
    return FileStat(found.st_mode, found.st_size, int(found.st_mtime))
