"""Frames to the bit, and what becomes of bytes that are none."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.runner.wire import HEADER, MAGIC, MAX_PAYLOAD, PREFIX_BYTES, VERSION, Frame, Kind, encode, read_frame
from foundation.errors import ProtocolError

frames = st.builds(Frame, st.sampled_from(Kind), st.integers(0, 0xFFFFFFFF), st.binary(max_size=300))


def reader(data: bytes) -> Callable[[int], bytes]:
    """Gives exactly as many bytes as it is asked for, as `read_frame` demands."""
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    return read


def prefix(
    magic: bytes = MAGIC,
    version: int = VERSION,
    kind: int = Kind.BYE,
    flags: int = 0,
    sequence: int = 0,
    length: int = 0,
) -> bytes:
    """A frame's first 20 bytes with a checksum that holds for an empty payload."""
    head = HEADER.pack(magic, version, kind, flags, sequence, length)
    return head + struct.pack("<I", zlib.crc32(head))


@pytest.mark.parametrize(
    ("frame", "golden"),
    [
        (Frame(Kind.BYE, 0, b""), "45434154 02 07 0000 00000000 00000000 c1b19fb3"),
        (Frame(Kind.QUERY, 0x01020304, b"\x00\xff"), "45434154 02 02 0000 04030201 02000000 96a98f86 00ff"),
        (Frame(Kind.ERROR, 0xFFFFFFFF, b"ab"), "45434154 02 04 0000 ffffffff 02000000 abc4731c 6162"),
    ],
)
def test_golden_bytes(frame: Frame, golden: str) -> None:
    assert encode(frame) == bytes.fromhex(golden)
    assert read_frame(reader(bytes.fromhex(golden))) == frame


def test_kinds_keep_their_numbers() -> None:
    assert {kind.name: kind.value for kind in Kind} == {
        "HELLO": 1,
        "QUERY": 2,
        "ANSWER": 3,
        "ERROR": 4,
        "BENCHMARK": 5,
        "MEASUREMENT": 6,
        "BYE": 7,
    }
    assert (MAGIC, VERSION, PREFIX_BYTES, MAX_PAYLOAD) == (b"ECAT", 2, 20, 67_108_864)


@given(st.lists(frames, max_size=5))
def test_frames_that_follow_each_other_come_back_in_order(sent: list[Frame]) -> None:
    read = reader(b"".join(map(encode, sent)))
    assert [read_frame(read) for _ in sent] == sent


@given(frames, st.data())
def test_one_wrong_bit_anywhere_is_noticed(frame: Frame, data: st.DataObject) -> None:
    whole = bytearray(encode(frame))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    # A wrong length may make the reader wait for bytes that never come; the transport's end tells it so.
    with pytest.raises((ProtocolError, EOFError)):
        read_frame(reader(bytes(whole)))


@given(st.binary(max_size=100) | st.builds(lambda rest: MAGIC + rest, st.binary(max_size=100)))
@settings(max_examples=300)
def test_bytes_that_are_no_frame_are_a_protocol_error(data: bytes) -> None:
    with pytest.raises((ProtocolError, EOFError)):
        read_frame(reader(data + bytes(PREFIX_BYTES)))


def test_text_in_place_of_a_frame_is_quoted() -> None:
    with pytest.raises(ProtocolError, match="starts with b'/sys'"):
        read_frame(reader(b"/system/bin/sh: python3: not found\n"))


def test_another_version_is_refused_before_its_payload_is_read() -> None:
    with pytest.raises(ProtocolError, match="protocol version 1, not 2"):
        read_frame(reader(prefix(version=VERSION - 1, length=100)))


@pytest.mark.parametrize("length", [MAX_PAYLOAD + 1, 0xFFFFFFFF])
def test_a_huge_length_is_refused_before_anything_is_read(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"claims {length} bytes"):
        read_frame(reader(prefix(length=length)))


@pytest.mark.parametrize("kind", [0, 8, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(ProtocolError, match=f"unknown kind of frame {kind}"):
        read_frame(reader(prefix(kind=kind)))


def test_flags_of_a_later_revision_are_passed_over() -> None:
    assert read_frame(reader(prefix(flags=0xFFFF))) == Frame(Kind.BYE, 0, b"")


def test_a_wrong_checksum_is_refused() -> None:
    damaged = bytearray(prefix())
    damaged[16] ^= 1
    with pytest.raises(ProtocolError, match="damaged"):
        read_frame(reader(bytes(damaged)))


def test_a_payload_over_the_limit_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        encode(Frame(Kind.QUERY, 0, bytes(MAX_PAYLOAD + 1)))


def test_a_payload_at_the_limit_travels() -> None:
    whole = encode(Frame(Kind.QUERY, 0, bytes(MAX_PAYLOAD)))
    assert len(read_frame(reader(whole)).payload) == MAX_PAYLOAD
