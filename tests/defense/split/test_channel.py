"""The channel: who may speak, and for how long one waits."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time

import pytest

from defense.split.channel import Channel, PeerLost
from defense.split.wire import HEADER, MOST_WORDS, Kind
from foundation.errors import ProtocolError

KEY = b"k" * 32


def _pair(keys: tuple[bytes, bytes] = (KEY, KEY), patience: float = 20.0) -> list[Channel | Exception]:
    """Both ends of a channel, or why there is none."""
    ends: list[Channel | Exception] = [PeerLost("never came up")] * 2

    def open_end(place: int, opened: socket.socket) -> None:
        try:
            ends[place] = Channel(opened, keys[place], dialled=place == 0, patience=patience)
        except (ProtocolError, PeerLost) as error:
            ends[place] = error

    threads = [threading.Thread(target=open_end, args=pair) for pair in enumerate(socket.socketpair())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def _opened(patience: float = 20.0) -> tuple[Channel, Channel]:
    client, server = _pair(patience=patience)
    assert isinstance(client, Channel)
    assert isinstance(server, Channel)
    return client, server


def test_messages_arrive_and_their_bytes_are_counted() -> None:
    client, server = _opened()
    client.send(Kind.TRAIN, 3, b"abc")
    assert server.receive() == (Kind.TRAIN, 3, b"abc")
    assert client.sent == server.received == 4 + HEADER.size + 3
    client.close()
    with pytest.raises(PeerLost):
        server.receive()


def test_who_has_another_key_is_not_let_in() -> None:
    assert all(isinstance(end, ProtocolError) for end in _pair((KEY, b"x" * 32))[1:])


def test_a_silent_peer_is_noticed() -> None:
    client, _ = _opened(patience=0.2)
    start = time.monotonic()
    with pytest.raises(PeerLost, match=r"silent for 0\.2 s"):
        client.receive()
    assert time.monotonic() - start < 10


def test_a_peer_that_never_proves_itself_is_noticed() -> None:
    near, far = socket.socketpair()
    with far, pytest.raises(PeerLost, match="silent"):
        Channel(near, KEY, dialled=False, patience=0.2)


def test_a_peer_that_takes_nothing_is_noticed() -> None:
    client, _ = _opened(patience=0.2)
    with pytest.raises(PeerLost):
        client.send(Kind.TRAIN, 1, bytes(1 << 24))


def test_noise_in_place_of_a_challenge_is_an_error() -> None:
    near, far = socket.socketpair()
    with far:
        far.sendall(struct.pack("!i", 20) + b"\x00" * 20)
        with pytest.raises((ProtocolError, PeerLost)):
            Channel(near, KEY, dialled=True, patience=0.5)


@pytest.mark.parametrize("size", [HEADER.size + MOST_WORDS + 1, 2**31 - 1, -7])
def test_a_message_longer_than_agreed_is_refused_before_it_is_read(size: int) -> None:
    near, far = socket.socketpair()
    ends: list[Channel] = []
    thread = threading.Thread(target=lambda: ends.append(Channel(near, KEY, dialled=False, patience=5.0)))
    thread.start()
    raw = Channel(far, KEY, dialled=True, patience=5.0)
    thread.join()
    os.write(raw._connection.fileno(), struct.pack("!i", size))
    with pytest.raises(ProtocolError):
        ends[0].receive()
