"""Programs whose dynamic loader and libraries stand where no other program looks for them.

A phone has no glibc, so what runs on an emulated device must bring its own. Debian's programs, which do need glibc, are
led to a copy of it in a private directory by writing over two kinds of strings, each in its place: a program's
interpreter, and the directories that the loader itself searches.
"""

from __future__ import annotations

import struct

from foundation.errors import DeviceError

PLACE = "/apex/edgecat"
LOADER = f"{PLACE}/ld.so"
LIBRARIES = f"{PLACE}/lib64"

_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
_INTERPRETER = 3


def with_private_loader(program: bytes) -> bytes:
    """A 64-bit little-endian ELF program that asks for `LOADER` instead of its own interpreter.

    Raises:
        DeviceError: it is no such program, or names an interpreter with a shorter path than ours.
    """
    if program[:6] != b"\x7fELF\x02\x01":
        raise DeviceError("not a 64-bit program")
    (table,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    for number in range(count):
        kind, _, offset, _, _, room, _, _ = _PROGRAM_HEADER.unpack_from(program, table + number * size)
        if kind == _INTERPRETER:
            path = LOADER.encode() + b"\0"
            if len(path) > room:
                raise DeviceError(f"no room for {LOADER} in a program")
            return program[:offset] + path.ljust(room, b"\0") + program[offset + room :]
    raise DeviceError("a program without an interpreter")


def with_private_directory(loader: bytes, triplet: str) -> bytes:
    """A Debian glibc loader that searches `LIBRARIES` where it searched `/lib/TRIPLET/`.

    Raises:
        DeviceError: it searches other directories than Debian's.
    """
    usual = f"/lib/{triplet}/".encode()
    # As long as before: the loader keeps the lengths elsewhere. Slashes at the end do no harm.
    ours = LIBRARIES.encode().ljust(len(usual), b"/")
    after = b"\0/usr" + usual + b"\0"
    if usual + after not in loader or len(ours) != len(usual):
        raise DeviceError(f"the loader of {triplet} does not search {usual.decode()}")
    return loader.replace(usual + after, ours + after)
