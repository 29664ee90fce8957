"""Messages: what is not as agreed is refused, and nothing that arrives is believed."""

from __future__ import annotations

import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from defense.split.wire import HEADER, Agreed, Kind, Message, decode, encode, pack, parse_hello, unpack
from foundation.errors import ProtocolError

AGREED = Agreed((2, 3, 4), classes=5, most_rows=6)
Z, Y = torch.rand(6, 2, 3, 4), torch.arange(6) % 5


def test_the_first_bytes_are_these() -> None:
    assert encode(Message(Kind.TRAIN, 258, b"xyz")) == b"ESPL\x01\x03\x00\x00\x02\x01\0\0\0\0\0\0xyz"
    assert decode(encode(Message(Kind.TRAIN, 258, b"xyz"))) == Message(Kind.TRAIN, 258, b"xyz")


def test_tensors_arrive_as_they_were() -> None:
    arrived = unpack(pack({"z": Z, "y": Y}), AGREED.asked(Kind.TRAIN), 6)
    assert torch.equal(arrived["z"], Z)
    assert torch.equal(arrived["y"], Y)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"z": Z}, "carries z where z, y"),
        ({"z": Z, "y": Y, "more": Y + 0}, "carries more"),
        ({"z": Z.double(), "y": Y}, "float64"),
        ({"z": Z, "y": Y.int()}, "int32"),
        ({"z": torch.rand(7, 2, 3, 4), "y": torch.zeros(7, dtype=torch.int64)}, r"1…6"),
        ({"z": torch.rand(0, 2, 3, 4), "y": torch.zeros(0, dtype=torch.int64)}, r"\(0, 2, 3, 4\)"),
        ({"z": torch.rand(6, 24), "y": Y}, r"\(6, 24\)"),
        ({"z": Z, "y": Y[:5]}, "not one number"),
        ({"z": torch.tensor(1.0), "y": Y}, r"\(\)"),
    ],
)
def test_other_tensors_than_agreed_are_refused(tensors: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        unpack(pack(tensors), AGREED.asked(Kind.TRAIN), 6)


def test_another_version_is_refused_by_name() -> None:
    head = HEADER.pack(b"ESPL", 2, Kind.HELLO, 0, 0)
    with pytest.raises(ProtocolError, match=r"version 2.*this one 1"):
        decode(head)


def test_a_message_of_agreed_size_fits_and_the_limit_is_near() -> None:
    whole = encode(Message(Kind.TRAIN, 1, pack({"z": Z, "y": Y})))
    assert len(whole) < AGREED.most_bytes < len(whole) + (1 << 17)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_message_are_an_error_and_no_crash(data: bytes) -> None:
    for prefix in (b"", HEADER.pack(b"ESPL", 1, Kind.TRAIN, 0, 1), HEADER.pack(b"ESPL", 1, Kind.HELLO, 0, 0)):
        try:
            message = decode(prefix + data)
            if message.kind == Kind.HELLO:
                parse_hello(message.payload)
            else:
                unpack(message.payload, AGREED.asked(message.kind), 6)
        except ProtocolError:
            continue
        assert not message.payload


@given(st.binary(min_size=1, max_size=8), st.integers(0, 400))
def test_a_damaged_payload_is_refused_or_has_the_agreed_shapes(damage: bytes, place: int) -> None:
    payload = bytearray(pack({"z": Z, "y": Y}))
    payload[place : place + len(damage)] = damage
    try:
        arrived = unpack(bytes(payload), AGREED.asked(Kind.TRAIN), 6)
    except ProtocolError:
        return
    assert arrived["z"].shape[1:] == (2, 3, 4)


def test_a_header_that_promises_terabytes_allocates_nothing() -> None:
    words = b'{"z":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4000000000000]}}'
    with pytest.raises(ProtocolError):
        unpack(struct.pack("<Q", len(words)) + words, AGREED.asked(Kind.INFER), 6)
