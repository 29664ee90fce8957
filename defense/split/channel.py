"""The channel between the halves: bytes over a socket, each side sure of the other, and neither waiting for ever."""

from __future__ import annotations

import contextlib
import socket
import struct
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge

from defense.split.wire import HEADER, MOST_WORDS, Kind, Message, decode, encode
from foundation.errors import DeviceError, ProtocolError

# No word for so long, and the other half counts as frozen.
PATIENCE_SECONDS = 120.0


class PeerLost(DeviceError):
    """The other half hung up, or has been silent for too long."""


class Channel:
    """One connection. Each side first proves that it has the key (HMAC), then messages go to and fro.

    Args:
        opened: a connected stream socket, which now belongs to the channel.
        key: that both sides have.
        dialled: whether this side called the other.
        patience: seconds that one read or write may take.

    Attributes:
        most_bytes: of a message; a longer one is refused before it is read. Small until both sides have agreed.
        sent: bytes so far, lengths and headers included.
        received: bytes so far.

    Raises:
        ProtocolError: the other side has another key.
        PeerLost: it went away, or is silent.
    """

    def __init__(self, opened: socket.socket, key: bytes, *, dialled: bool, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self.most_bytes = HEADER.size + MOST_WORDS
        self.sent = self.received = 0
        opened.settimeout(None)
        # `Connection` knows no timeout; the socket beneath it does.
        seconds, rest = divmod(patience, 1)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            opened.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(rest * 1e6)))
        self._connection = Connection(opened.detach())
        try:
            self._authenticate(key, dialled)
        except BaseException:
            self.close()
            raise

    def send(self, kind: Kind, step: int, payload: bytes = b"") -> None:
        """Send one message.

        Raises:
            PeerLost: the other side is gone, or takes nothing.
        """
        data = encode(Message(kind, step, payload))
        try:
            self._connection.send_bytes(data)
        except OSError as error:
            raise self._lost(error) from error
        self.sent += _on_the_way(data)

    def receive(self) -> Message:
        """Wait for one message.

        Raises:
            PeerLost: the other side is gone, or silent.
            ProtocolError: not a message, or longer than agreed.
        """
        try:
            data = self._connection.recv_bytes(self.most_bytes)
        except (OSError, EOFError) as error:
            if "bad message length" in str(error):
                raise ProtocolError(f"a message over the agreed {self.most_bytes} bytes") from error
            raise self._lost(error) from error
        self.received += _on_the_way(data)
        return decode(data)

    def close(self) -> None:
        """Hang up; twice does no harm."""
        with contextlib.suppress(OSError):
            self._connection.close()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _authenticate(self, key: bytes, dialled: bool) -> None:
        try:
            for step in (answer_challenge, deliver_challenge)[:: 1 if dialled else -1]:
                step(self._connection, key)
        # What is no challenge at all fails an assertion there, or cannot be read.
        except (AuthenticationError, AssertionError, ValueError) as error:
            raise ProtocolError(f"the other half does not have our key: {error}") from error
        except (OSError, EOFError) as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> PeerLost:
        if isinstance(error, BlockingIOError):
            return PeerLost(f"the other half has been silent for {self._patience:g} s")
        return PeerLost(f"the other half is gone ({str(error) or 'it hung up'})")


def _on_the_way(data: bytes) -> int:
    """Bytes of a message with the length that `Connection` puts before it."""
    return len(data) + (4 if len(data) <= 0x7FFFFFFF else 12)
