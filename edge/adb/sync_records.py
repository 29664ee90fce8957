"""Records of adb's sync service, versions 1 and 2. Shared by the host's and the embedded device's side.

Every request is a name of four letters, a length (uint32, little-endian) and a path; version 2 exists because version 1
has 32-bit sizes and no errors.
"""

from __future__ import annotations

import io
import stat as stat_bits
import struct
from collections.abc import Iterator
from dataclasses import dataclass

CHUNK = 64 << 10
LONGEST_PATH = 4096
_CHUNKS_PER_PIECE = 15

Readable = io.RawIOBase | io.BufferedIOBase

REQUEST = struct.Struct("<4sI")
STAT_1 = struct.Struct("<III")
STAT_2 = struct.Struct("<IQQIIIIQqqq")
NAME_LENGTH = struct.Struct("<I")
SEND_2 = struct.Struct("<4sII")
RECEIVE_2 = struct.Struct("<4sI")


@dataclass(frozen=True)
class FileStat:
    """What a device tells of a file.

    Attributes:
        mode: type and permission bits as in stat(2).
        size: bytes (modulo 2³² where the device knows only version 1).
        mtime: seconds since 1970.
        error: errno; 0 where the file is there.
    """

    mode: int
    size: int
    mtime: int
    error: int = 0

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat_bits.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat_bits.S_ISREG(self.mode)

    def pack_1(self) -> bytes:
        """Version 1: 12 bytes, zeros where there is no such file."""
        return bytes(STAT_1.size) if self.error else STAT_1.pack(self.mode, self.size & 0xFFFFFFFF, self.mtime)

    def pack_2(self) -> bytes:
        """Version 2: 68 bytes. Numbers of device, inode, links and owners are left 0."""
        return STAT_2.pack(self.error, 0, 0, self.mode, 1, 0, 0, self.size, self.mtime, self.mtime, self.mtime)

    @classmethod
    def unpack_1(cls, data: bytes) -> FileStat:
        """Read version 1; all zeros means no such file (ENOENT)."""
        mode, size, mtime = STAT_1.unpack(data)
        return cls(mode, size, mtime, 0 if mode or size or mtime else 2)

    @classmethod
    def unpack_2(cls, data: bytes) -> FileStat:
        """Read version 2."""
        error, _, _, mode, _, _, _, size, _, mtime, _ = STAT_2.unpack(data)
        return cls(mode, size, mtime, error)


def request(name: bytes, path: str) -> bytes:
    """One request as the wire has it."""
    encoded = path.encode("utf-8", "surrogateescape")
    return REQUEST.pack(name, len(encoded)) + encoded


def payload_bytes(piece: memoryview) -> int:
    """How much of a piece of `data_chunks` is content."""
    step = REQUEST.size + CHUNK
    return len(piece) - REQUEST.size * -(-len(piece) // step)


def data_chunks(stream: Readable) -> Iterator[memoryview]:
    """A file's content as DATA records, many of them in a piece of almost 1 MiB. A piece is good until the next."""
    step = REQUEST.size + CHUNK
    room = bytearray(_CHUNKS_PER_PIECE * step)
    view = memoryview(room)
    while True:
        filled = 0
        for _ in range(_CHUNKS_PER_PIECE):
            size = stream.readinto(view[filled + REQUEST.size : filled + step])
            if not size:
                break
            REQUEST.pack_into(room, filled, b"DATA", size)
            filled += REQUEST.size + size
        if not filled:
            return
        yield view[:filled]
