"""adb's messages, byte by byte."""

from __future__ import annotations

import pytest
from adb_shell.adb_message import AdbMessage
from hypothesis import given
from hypothesis import strategies as st

from edge.adb import messages
from edge.adb.messages import command_name, pack_header, parse_banner, payload_checksum, unpack_header
from foundation.errors import ProtocolError

words = st.integers(0, 0xFFFFFFFF)


def test_an_open_has_these_bytes() -> None:
    data = b"shell:ls\0"
    header = pack_header(messages.OPEN, 1, 0, len(data), payload_checksum(data))
    assert header == (b"OPEN\x01\x00\x00\x00\x00\x00\x00\x00\x09\x00\x00\x00\x31\x03\x00\x00\xb0\xaf\xba\xb1")


def test_a_cnxn_of_version_1_has_these_bytes() -> None:
    assert pack_header(messages.CNXN, 0x01000001, 1 << 20, 0).hex(" ", 4) == (
        "434e584e 01000001 00001000 00000000 00000000 bcb1a7b1"
    )


@given(st.sampled_from(["OPEN", "OKAY", "CLSE", "WRTE", "AUTH", "CNXN"]), words, words, st.binary(max_size=64))
def test_headers_are_those_of_adb_shell(name: str, arg0: int, arg1: int, data: bytes) -> None:
    theirs = AdbMessage(name.encode(), arg0, arg1, data).pack()
    assert pack_header(getattr(messages, name), arg0, arg1, len(data), payload_checksum(data)) == theirs


@given(words, words, words, st.integers(0, messages.MAX_PAYLOAD), words)
def test_a_header_reads_back_as_written(command: int, arg0: int, arg1: int, length: int, checksum: int) -> None:
    assert unpack_header(pack_header(command, arg0, arg1, length, checksum)) == (command, arg0, arg1, length, checksum)


@given(st.integers(0, 23), st.integers(1, 255))
def test_a_damaged_command_or_magic_is_noticed(place: int, change: int) -> None:
    header = bytearray(pack_header(messages.WRTE, 1, 2, 3))
    header[place] ^= change
    if place < 4 or place >= 20:
        with pytest.raises(ProtocolError, match="magic"):
            unpack_header(header)


def test_a_payload_longer_than_agreed_is_refused() -> None:
    with pytest.raises(ProtocolError, match="4097 bytes where 4096 are agreed"):
        unpack_header(pack_header(messages.WRTE, 1, 2, 4097), 4096)


@given(st.binary(max_size=40).filter(lambda data: len(data) != 24))
def test_what_is_not_24_bytes_is_no_header(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_header(data)


def test_a_banner_is_read_into_its_properties() -> None:
    said = parse_banner(b"device::ro.product.name=x;ro.product.model=A=B;features=shell_v2,cmd\0")
    assert said == {"ro.product.name": "x", "ro.product.model": "A=B", "features": "shell_v2,cmd"}
    assert parse_banner(b"device::\xff\0") == {}


def test_a_command_that_is_no_text_is_named_by_its_number() -> None:
    assert command_name(messages.CLSE) == "CLSE"
    assert command_name(7) == "0x00000007"
