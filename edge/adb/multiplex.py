"""Many two-way streams over one message link. Shared by the host's and the embedded device's side.

Flow control: a side may have one unacknowledged WRTE in flight; where both sides offer `delayed_ack`, as many bytes as
the receiver has granted. An acknowledgement goes out only when the reader has taken the bytes, so a slow reader slows
its writer and nothing piles up. Nobody sends while he reads the link (but to close a stream that opened too late): two
full sockets cannot lock each other up.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Callable

from edge.adb.link import MessageLink
from edge.adb.messages import CLSE, MAX_PAYLOAD, OKAY, WRTE, Buffer, Message
from edge.adb.pump import Pump
from edge.adb.stream import ExactReader, cut
from foundation.errors import DeviceError, ProtocolError

WINDOW = 8 * MAX_PAYLOAD
_INT32 = struct.Struct("<i")


class MuxStream:
    """One stream of a `Multiplexer`; satisfies `edge.adb.stream.Stream`."""

    def __init__(self, mux: Multiplexer, local_id: int, service: str) -> None:
        self.patience: float | None = None
        self.local_id = local_id
        self.remote_id = 0
        self.service = service
        self._mux = mux
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._unread = 0
        self._unacknowledged = 0
        self._credit = 0
        self._ended = False
        self._closed = False
        self._failure: DeviceError | None = None
        self._reader = ExactReader(self._next_chunk)

    @property
    def ended(self) -> bool:
        """Whether the other side, this side or a broken connection has ended the stream."""
        return self._ended or self._closed

    @property
    def refused(self) -> bool:
        """Whether the other side ended the stream without ever opening it."""
        return self._ended and not self.remote_id

    def send(self, *pieces: Buffer) -> None:
        """See `Stream.send`."""
        for size, part in cut(pieces, self._mux.link.max_payload):
            self._take_credit(size)
            self._mux.link.send(WRTE, self.local_id, self.remote_id, *part)

    def _take_credit(self, size: int) -> None:
        if self._credit <= 0:
            self._await(lambda: self._credit > 0 or self.ended, None)
        with self._changed:
            if self.ended:
                raise self._failure or DeviceError(f"{self._mux.link.peer} ended the stream {self.service!r}")
            self._credit -= size if self._mux.delayed_ack else 1

    def receive_some(self) -> bytes:
        """See `Stream.receive_some`."""
        return self._reader.some()

    def receive(self, size: int) -> bytes:
        """See `Stream.receive`."""
        data = self._reader.up_to(size)
        if len(data) < size:
            raise DeviceError(
                f"the stream {self.service!r} ended after {len(data)} of {size} bytes", device=self._mux.link.peer
            )
        return data

    def _next_chunk(self) -> bytes:
        data = b""
        while not data:
            if not self._await(lambda: bool(self._queue) or self.ended, self.patience):
                peer = self._mux.link.peer
                raise DeviceError(f"nothing came on {self.service!r} for {self.patience:g} s", device=peer)
            with self._changed:
                if self._closed or not self._queue:
                    if self._failure is not None and not self._closed:
                        raise self._failure
                    return b""
                data = self._queue.popleft()
                acknowledgement = self._taken(len(data))
            if acknowledgement is not None:
                self._acknowledge(acknowledgement)
        return data

    def _await(self, done: Callable[[], bool], seconds: float | None) -> bool:
        """Wait until `done()`, by reading the link here or while others do; False where `seconds` have passed."""

        def sleep() -> None:
            with self._changed:
                self._changed.wait_for(done, seconds)

        if done() or self._mux.pump.read_here(done):
            return True
        self._mux.pump.wait_elsewhere(sleep)
        return done()

    def _taken(self, size: int) -> bytes | None:
        """Count bytes as read; the payload of the OKAY that is due now, None if none is."""
        self._unread -= size
        self._unacknowledged += size
        if not self._mux.delayed_ack:
            self._unacknowledged = 0
            return None if self._ended else b""
        # A quarter of the window at a time: the writer never runs dry, and small messages do not cost an answer each.
        if self._ended or self._unacknowledged < WINDOW // 4:
            return None
        size, self._unacknowledged = self._unacknowledged, 0
        return _INT32.pack(size)

    def _acknowledge(self, payload: bytes) -> None:
        try:
            self._mux.link.send(OKAY, self.local_id, self.remote_id, payload)
        except DeviceError as error:
            # What was received is still good; the failure follows after it.
            self.end(error)

    def close(self) -> None:
        """See `Stream.close`."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._mux.forget(self)
        if self.remote_id and self._failure is None:
            try:
                self._mux.link.send(CLSE, self.local_id, self.remote_id)
            except DeviceError as error:
                self._failure = error

    def accept(self, remote_id: int, granted: int) -> None:
        """Answer an OPEN (the device's side): the stream stands, `granted` bytes may be sent at first."""
        self.remote_id = remote_id
        self._credit = granted if self._mux.delayed_ack else 1
        self._mux.link.send(OKAY, self.local_id, remote_id, self._mux.grant())

    def wait_until_open(self, timeout: float | None) -> bool:
        """Wait for the answer to our OPEN. True: open; False: refused.

        Raises:
            DeviceError: the connection broke.
            TimeoutError: no answer came.
        """
        if not self._await(lambda: bool(self.remote_id) or self.ended, timeout):
            raise TimeoutError
        with self._changed:
            if self._failure is not None:
                raise self._failure
            return self.remote_id != 0

    def acknowledged(self, message: Message) -> None:
        """Take an OKAY; the first one to our OPEN says the stream's id on the other side."""
        with self._changed:
            self.remote_id = self.remote_id or message.arg0
            if not self._mux.delayed_ack:
                self._credit = 1
            elif len(message.data) == _INT32.size:
                self._credit += _INT32.unpack(message.data)[0]
            self._changed.notify_all()

    def arrived(self, data: bytes) -> None:
        """Take the payload of a WRTE.

        Raises:
            ProtocolError: the other side goes on sending without waiting for acknowledgements.
        """
        with self._changed:
            # As generous without delayed_ack: adb's own server runs ahead of acknowledgements when its client leaves.
            if self._unread + self._unacknowledged > WINDOW:
                raise ProtocolError(f"{self._mux.link.peer} sends without waiting for acknowledgements")
            self._queue.append(data)
            self._unread += len(data)
            self._changed.notify_all()

    def end(self, failure: DeviceError | None = None) -> None:
        """The other side has ended the stream, or the connection broke (`failure`). Unread bytes stay readable."""
        with self._changed:
            self._ended = True
            self._failure = self._failure or failure
            self._changed.notify_all()


class Multiplexer:
    """The table of streams of one connection.

    Attributes:
        link: what the messages travel on.
        delayed_ack: whether both sides acknowledge by bytes.
        pump: reads the link; its `run` wants a thread.

    Args:
        handle: takes each message and calls `dispatch` for those of streams; None where there are no others.
        spin: see `Pump`.
    """

    def __init__(
        self,
        link: MessageLink,
        *,
        delayed_ack: bool,
        handle: Callable[[Message], None] | None = None,
        spin: bool = False,
    ) -> None:
        self.link = link
        self.delayed_ack = delayed_ack
        self.pump = Pump(link, handle or self.dispatch, self.fail, spin=spin)
        self._streams: dict[int, MuxStream] = {}
        self._lock = threading.Lock()
        self._unanswered: set[int] = set()
        self._last_id = 0
        self._failure: DeviceError | None = None

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, service: str) -> MuxStream:
        """A new stream with an id of its own.

        Raises:
            DeviceError: the connection has broken.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._last_id += 1
            stream = self._streams[self._last_id] = MuxStream(self, self._last_id, service)
            return stream

    def forget(self, stream: MuxStream) -> None:
        """Drop a stream that both sides, or this side, are done with."""
        with self._lock:
            self._streams.pop(stream.local_id, None)
            if not stream.remote_id and not stream.refused:
                self._unanswered.add(stream.local_id)

    def grant(self) -> bytes:
        """The payload of the first OKAY: how much the other side may send before it waits."""
        return _INT32.pack(WINDOW) if self.delayed_ack else b""

    def dispatch(self, message: Message) -> None:
        """Hand OKAY, WRTE or CLSE to its stream; what belongs to no stream any more is dropped.

        Raises:
            ProtocolError: see `MuxStream.arrived`.
        """
        with self._lock:
            stream = self._streams.get(message.arg1)
            late = message.arg1 in self._unanswered
            self._unanswered.discard(message.arg1)
        if late and message.command == OKAY:
            self.link.send(CLSE, message.arg1, message.arg0)
        if stream is None or (stream.remote_id and message.arg0 not in (0, stream.remote_id)):
            return
        if message.command == OKAY:
            stream.acknowledged(message)
        elif message.command == WRTE:
            stream.arrived(message.data)
        elif message.command == CLSE:
            stream.end()

    def fail(self, failure: DeviceError) -> None:
        """The connection broke: wake every stream with `failure`, open no more."""
        with self._lock:
            self._failure = self._failure or failure
            streams = list(self._streams.values())
        for stream in streams:
            stream.end(failure)
