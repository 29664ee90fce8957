"""Who reads the link: the waiting thread, the reader thread, and what passes between them."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge.adb import transport as transports
from edge.adb.link import MessageLink
from edge.adb.messages import OKAY, VERSION, WRTE, pack_header
from edge.adb.multiplex import Multiplexer, MuxStream
from edge.adb.transport import SocketTransport
from foundation.errors import DeviceError


class Peer:
    """The other side of a multiplexer: what it sends stands as bytes in the test."""

    def __init__(self, *, spin: bool = True) -> None:
        self.socket, ours = socket.socketpair()
        link = MessageLink(SocketTransport(ours, "peer"))
        link.agree(VERSION, 1 << 20)
        self.mux = Multiplexer(link, delayed_ack=False, spin=spin)
        self.reader = threading.Thread(target=self.mux.pump.run)
        self.reader.start()

    def stream(self) -> MuxStream:
        opened = self.mux.add("test:")
        self.send(OKAY, opened)
        assert opened.wait_until_open(5)
        return opened

    def send(self, command: int, stream: MuxStream, data: bytes = b"") -> None:
        self.socket.sendall(self.message(command, stream, data))

    @staticmethod
    def message(command: int, stream: MuxStream, data: bytes = b"") -> bytes:
        return pack_header(command, 100 + stream.local_id, stream.local_id, len(data)) + data


@contextmanager
def peer(*, spin: bool = True) -> Iterator[Peer]:
    made = Peer(spin=spin)
    try:
        yield made
    finally:
        made.socket.close()
        made.reader.join(5)
        assert not made.reader.is_alive()


def test_messages_that_came_in_one_piece_reach_their_streams() -> None:
    with peer() as other:
        first, second = other.stream(), other.stream()
        pieces = [
            other.message(WRTE, second, b"b"),
            other.message(WRTE, first, b"a"),
            other.message(WRTE, second, b"c"),
        ]
        other.socket.sendall(b"".join(pieces))
        # The first thread to wait reads all three: the second stream's must not be lost with it.
        assert first.receive(1) == b"a"
        assert second.receive(2) == b"bc"


@pytest.mark.parametrize("spin", [True, False])
def test_answers_one_at_a_time(spin: bool) -> None:
    with peer(spin=spin) as other:
        stream = other.stream()
        for number in range(200):
            answer = number.to_bytes(4, "little")
            threading.Timer(0, other.send, (WRTE, stream, answer)).start()
            assert stream.receive(4) == answer


def test_a_waiting_thread_gets_its_message_while_others_read_and_leave() -> None:
    with peer() as other:
        slow, fast = other.stream(), other.stream()
        got: list[bytes] = []
        waiting = threading.Thread(target=lambda: got.append(slow.receive(1)))
        waiting.start()
        for _ in range(50):
            other.send(WRTE, fast, b"x")
            assert fast.receive(1) == b"x"
        other.send(WRTE, slow, b"y")
        waiting.join(1)
        assert got == [b"y"]


def test_a_wait_is_ended_by_closing_the_stream() -> None:
    with peer() as other:
        stream = other.stream()
        got: list[bytes] = []
        waiting = threading.Thread(target=lambda: got.append(stream.receive_some()))
        waiting.start()
        time.sleep(0.1)
        stream.close()
        waiting.join(1)
        assert got == [b""]


def test_waiting_burns_no_processor_time() -> None:
    with peer() as other:
        stream = other.stream()
        other.send(WRTE, stream, b"x")
        assert stream.receive(1) == b"x"
        stream.patience = 0.6
        before = time.process_time()
        with pytest.raises(DeviceError, match=r"nothing came on 'test:' for 0\.6 s"):
            stream.receive(1)
        assert time.process_time() - before < 0.1


def test_the_end_of_the_peer_wakes_every_waiting_thread_at_once() -> None:
    with peer() as other:
        raised: list[float] = []

        def wait(stream: MuxStream) -> None:
            with pytest.raises(DeviceError, match="closed the connection"):
                stream.receive(1)
            raised.append(time.monotonic())

        threads = [threading.Thread(target=wait, args=(other.stream(),)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        ended = time.monotonic()
        other.socket.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
        assert len(raised) == 4
        assert max(raised) - ended < 0.5


def test_a_peer_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_SEND_SECONDS", 1)
    ours, theirs = socket.socketpair()
    with theirs:
        transport = SocketTransport(ours, "peer")
        with pytest.raises(DeviceError, match="took nothing for 1 s"):
            transport.send(b"head", bytes(16 << 20))
        transport.release()
