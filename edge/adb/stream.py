"""What every road to a device offers: a connection that opens streams by the name of a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from edge.adb.messages import Buffer


class Stream(Protocol):
    """A two-way stream of bytes to a service on the device.

    One thread may send while another receives; two threads must not send, nor two receive, at the same time.

    Attributes:
        patience: seconds that receiving waits for the next bytes before it raises DeviceError; None, as at first, for
            ever. A device that is frozen says nothing and does not hang up.
    """

    patience: float | None

    def send(self, *pieces: Buffer) -> None:
        """Send all the pieces, one after another; waits where the device does not take them yet.

        Raises:
            DeviceError: the stream or the connection has ended.
        """

    def receive_some(self) -> bytes:
        """The next bytes, as many as are there; b"" at the end of the stream.

        Raises:
            DeviceError: the connection broke.
        """

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes.

        Raises:
            DeviceError: the stream ended earlier, or the connection broke.
        """

    def close(self) -> None:
        """End the stream; a thread that waits in `receive` or `send` wakes. Closing twice does no harm."""


class Connection(Protocol):
    """A road to one device, over which any number of streams run at once."""

    @property
    def serial(self) -> str:
        """How the road calls the device: adb's serial, or `host:port`."""

    @property
    def features(self) -> frozenset[str]:
        """The adb features that both sides have: shell_v2, stat_v2, …"""

    @property
    def alive(self) -> bool:
        """Whether streams can still be opened, as far as is known."""

    def open(self, service: str) -> Stream:
        """Open a service on the device (`shell,v2,raw:ls`, `sync:`, `tcp:8080`).

        Raises:
            DeviceError: refused, or the connection broke.
        """

    def close(self) -> None:
        """End every stream and the connection."""


def cut(pieces: Iterable[Buffer], largest: int) -> Iterator[tuple[int, list[memoryview]]]:
    """The same bytes in groups of at most `largest`, each with its size; nothing is copied.

    Args:
        pieces: of bytes (format "B").
        largest: at least 1.
    """
    group: list[memoryview] = []
    room = largest
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest) > room:
            group.append(rest[:room])
            yield largest, group
            rest, group, room = rest[room:], [], largest
        if rest:
            group.append(rest)
            room -= len(rest)
    if group:
        yield largest - room, group


class ExactReader:
    """Cuts pieces of any size out of a source of chunks, without copying a byte twice."""

    def __init__(self, source: Callable[[], bytes]) -> None:
        self._source = source
        self._rest = memoryview(b"")

    def some(self) -> bytes:
        """What is left of the last chunk, or the next one; b"" at the end."""
        if self._rest:
            data, self._rest = bytes(self._rest), memoryview(b"")
            return data
        return self._source()

    def at_most(self, size: int) -> bytes:
        """One piece of 1 to `size` bytes; b"" at the end."""
        if not self._rest:
            self._rest = memoryview(self._source())
        piece = self._rest[:size]
        self._rest = self._rest[len(piece) :]
        return bytes(piece)

    def up_to(self, size: int) -> bytes:
        """`size` bytes; fewer only where the source ends."""
        if len(self._rest) >= size:
            piece, self._rest = self._rest[:size], self._rest[size:]
            return bytes(piece)
        pieces: list[memoryview] = []
        missing = size
        while missing:
            if not self._rest:
                self._rest = memoryview(self._source())
                if not self._rest:
                    break
            piece = self._rest[:missing]
            self._rest = self._rest[len(piece) :]
            missing -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)
