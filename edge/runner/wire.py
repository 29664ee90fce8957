"""The wire protocol between host and runner: frames over the runner's stdin and stdout (docs/protocol.md).

    0      4       5      6       8          12        16         20
    +------+-------+------+-------+----------+---------+----------+---------- - -
    | ECAT | vers. | kind | flags | sequence | length  | CRC-32   | payload
    +------+-------+------+-------+----------+---------+----------+---------- - -

Little-endian throughout. The CRC-32 (zlib's) covers the 16 bytes before it and the payload: adb itself checks nothing.
Part of what travels to the device: standard library only.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from foundation.errors import ProtocolError

VERSION = 2
MAGIC = b"ECAT"
HEADER = struct.Struct("<4sBBHII")
CRC = struct.Struct("<I")
PREFIX_BYTES = HEADER.size + CRC.size
MAX_PAYLOAD = 64 << 20


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    QUERY = 2
    ANSWER = 3
    ERROR = 4
    BENCHMARK = 5
    MEASUREMENT = 6
    BYE = 7


class Fault(IntEnum):
    """Codes of error frames."""

    MALFORMED = 1
    UNSUPPORTED = 2
    WRONG_SHAPE = 3
    MODEL_REFUSED = 4
    WRONG_MODEL = 5
    INFERENCE_FAILED = 6
    OPERATOR_MISSING = 7


class Frame(NamedTuple):
    """One frame. An answer carries the sequence number of its query."""

    kind: Kind
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """A frame as bytes.

    Raises:
        ProtocolError: the payload is larger than `MAX_PAYLOAD`.
    """
    return b"".join((encode_prefix(frame.kind, frame.sequence, frame.payload), frame.payload))


def encode_prefix(kind: Kind, sequence: int, *payload: bytes | memoryview) -> bytes:
    """What stands before a frame's payload, which may be in pieces: header and CRC-32.

    Raises:
        ProtocolError: the payload is larger than `MAX_PAYLOAD`.
    """
    size = sum(map(len, payload))
    if size > MAX_PAYLOAD:
        raise ProtocolError(f"a frame of {size} bytes is over the limit of {MAX_PAYLOAD}")
    head = HEADER.pack(MAGIC, VERSION, kind, 0, sequence, size)
    checksum = zlib.crc32(head)
    for piece in payload:
        checksum = zlib.crc32(piece, checksum)
    return head + CRC.pack(checksum)


def read_frame(read: Callable[[int], bytes]) -> Frame:
    """Take one frame from `read`, which gives exactly as many bytes as it is asked for.

    Raises:
        ProtocolError: not a frame of this version, or damaged on the way.
    """
    prefix = read(PREFIX_BYTES)
    magic, version, kind, _, sequence, length = HEADER.unpack_from(prefix)
    if magic != MAGIC:
        raise ProtocolError(f"not a runner's frame: starts with {magic!r}")
    if version != VERSION:
        raise ProtocolError(f"protocol version {version}, not {VERSION}", hint="push the runner again")
    if length > MAX_PAYLOAD:
        raise ProtocolError(f"a frame claims {length} bytes, the limit is {MAX_PAYLOAD}")
    payload = read(length) if length else b""
    if zlib.crc32(payload, zlib.crc32(prefix[: HEADER.size])) != CRC.unpack_from(prefix, HEADER.size)[0]:
        raise ProtocolError("a frame was damaged on the way (CRC-32)")
    try:
        return Frame(Kind(kind), sequence, payload)
    except ValueError:
        raise ProtocolError(f"unknown kind of frame {kind}") from None
