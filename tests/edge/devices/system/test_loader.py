"""Programs led to a private loader, and a loader led to private libraries."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.devices.system.loader import LIBRARIES, LOADER, with_private_directory, with_private_loader
from foundation.errors import DeviceError

_USUAL = b"/lib64/ld-linux-x86-64.so.2\0"


def _program(interpreter: bytes | None) -> bytes:
    """The smallest ELF file with one program header: PT_INTERP, or PT_LOAD where there is no interpreter."""
    content = interpreter or b"nothing\0"
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    kind = 3 if interpreter else 1
    entry = struct.pack("<IIQQQQQQ", kind, 4, 120, 120, 120, len(content), len(content), 1)
    return header + entry + content


def test_the_interpreter_is_written_over_in_its_place() -> None:
    before = _program(_USUAL)
    after = with_private_loader(before)
    assert len(after) == len(before)
    assert after[:120] == before[:120]
    assert after[120:].rstrip(b"\0").decode() == LOADER


def test_a_path_too_short_for_ours_is_an_error() -> None:
    with pytest.raises(DeviceError, match="no room"):
        with_private_loader(_program(b"/lib/ld.so\0"))


def test_a_program_that_names_no_interpreter_is_an_error() -> None:
    with pytest.raises(DeviceError, match="without an interpreter"):
        with_private_loader(_program(None))


@given(st.binary(max_size=80))
def test_what_is_no_program_is_an_error(content: bytes) -> None:
    with pytest.raises(DeviceError, match="not a 64-bit program"):
        with_private_loader(content.replace(b"\x7fELF", b"none"))


@pytest.mark.parametrize("triplet", ["x86_64-linux-gnu", "aarch64-linux-gnu"])
def test_the_loader_searches_the_private_directory_first(triplet: str) -> None:
    directories = f"/lib/{triplet}/\0/usr/lib/{triplet}/\0/lib/\0/usr/lib/\0".encode()
    before = b"\x80\x01" + directories + b"between" + directories
    after = with_private_directory(before, triplet)
    assert len(after) == len(before)
    assert after.count(LIBRARIES.encode()) == 2
    # The directories of an ordinary system stay in the list; the device does not have them.
    assert after.count(f"/usr/lib/{triplet}/".encode()) == 2


def test_a_loader_of_another_make_is_an_error() -> None:
    with pytest.raises(DeviceError, match="does not search"):
        with_private_directory(b"/lib64/\0/usr/lib64/\0", "x86_64-linux-gnu")
