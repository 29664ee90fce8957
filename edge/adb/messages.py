"""adb's messages: a header of six little-endian words, then the payload.

```
  0        4      8      12       16         20
  | command | arg0 | arg1 | length | checksum | magic |   magic = command XOR 0xffffffff
```

`checksum` is the sum of the payload's bytes; from version 0x01000001 on nobody looks at it. Shared by the host's and
the embedded device's side.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from adb_shell import constants

from foundation.errors import ProtocolError

Buffer = bytes | bytearray | memoryview

HEADER = struct.Struct(constants.MESSAGE_FORMAT)
VERSION_CHECKSUM = int(constants.VERSION)
VERSION = 0x01000001
MAX_PAYLOAD = int(constants.MAX_ADB_DATA)
MAX_PAYLOAD_BEFORE_CONNECT = int(constants.MAX_LEGACY_ADB_DATA)

SYNC, CNXN, AUTH, OPEN, OKAY, CLSE, WRTE = (
    int(constants.ID_TO_WIRE[name])
    for name in (
        constants.SYNC,
        constants.CNXN,
        constants.AUTH,
        constants.OPEN,
        constants.OKAY,
        constants.CLSE,
        constants.WRTE,
    )
)
STLS = int.from_bytes(b"STLS", "little")

AUTH_TOKEN = int(constants.AUTH_TOKEN)
AUTH_SIGNATURE = int(constants.AUTH_SIGNATURE)
AUTH_PUBLIC_KEY = int(constants.AUTH_RSAPUBLICKEY)
TOKEN_BYTES = 20


class Header(NamedTuple):
    """The five words of a header that say something; the sixth follows from the first."""

    command: int
    arg0: int
    arg1: int
    length: int
    checksum: int


class Message(NamedTuple):
    """One adb message. In OKAY, WRTE and CLSE `arg0` is the sender's stream id and `arg1` the receiver's."""

    command: int
    arg0: int
    arg1: int
    data: bytes = b""


def command_name(command: int) -> str:
    """`CNXN` for 0x4e584e43; the number in hexadecimal where it is no text."""
    text = command.to_bytes(4, "little")
    return text.decode() if text.isalpha() and text.isascii() else f"{command:#010x}"


def pack_header(command: int, arg0: int, arg1: int, length: int, checksum: int = 0) -> bytes:
    """A header as the wire has it: 24 bytes."""
    return HEADER.pack(command, arg0, arg1, length, checksum, command ^ 0xFFFFFFFF)


def unpack_header(data: Buffer, max_payload: int = MAX_PAYLOAD) -> Header:
    """Read a header.

    Args:
        data: 24 bytes.
        max_payload: the longest payload that may follow, bytes.

    Raises:
        ProtocolError: not 24 bytes, wrong magic, or a payload longer than agreed.
    """
    if len(data) != HEADER.size:
        raise ProtocolError(f"an adb header has {HEADER.size} bytes, not {len(data)}")
    command, arg0, arg1, length, checksum, magic = HEADER.unpack(data)
    if magic != command ^ 0xFFFFFFFF:
        raise ProtocolError(f"no adb header: magic {magic:#010x} does not belong to command {command_name(command)}")
    if length > max_payload:
        raise ProtocolError(f"{command_name(command)} announces {length} bytes where {max_payload} are agreed")
    return Header(command, arg0, arg1, length, checksum)


def payload_checksum(data: Buffer) -> int:
    """The sum of the bytes, modulo 2³²: what version 0x01000000 calls a CRC."""
    return sum(data) & 0xFFFFFFFF


def parse_banner(banner: bytes) -> dict[str, str]:
    """Read a CNXN banner, `device::ro.product.model=X;features=a,b`, into its properties (`features` among them).

    A banner without properties, as old devices send it, gives an empty dictionary.
    """
    text = banner.rstrip(b"\0").decode("utf-8", "replace")
    _, _, properties = text.partition("::")
    pairs = (item.partition("=") for item in properties.split(";") if "=" in item)
    return {key: value for key, _, value in pairs}
