"""A direct connection to a device's adb, over TCP or whatever else carries bytes, without an adb server."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable

from edge.adb.keys import HostKey, default_key
from edge.adb.link import MessageLink
from edge.adb.messages import (
    AUTH,
    AUTH_PUBLIC_KEY,
    AUTH_SIGNATURE,
    AUTH_TOKEN,
    CNXN,
    MAX_PAYLOAD,
    OPEN,
    STLS,
    TOKEN_BYTES,
    VERSION,
    Message,
    command_name,
    parse_banner,
)
from edge.adb.multiplex import WINDOW, Multiplexer, MuxStream
from edge.adb.transport import SocketTransport, Transport, dial
from foundation.errors import AuthError, DeviceError, ProtocolError

HOST_FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2", "delayed_ack")
_CONFIRM = "the device asks whether to allow USB debugging from this computer: confirm on its screen"

_log = logging.getLogger(__name__)


class DirectConnection:
    """Speaks adb with the device at the other end of a transport; satisfies `edge.adb.stream.Connection`.

    Streams may be opened and used from any number of threads. A thread of its own reads the socket, or the thread that
    waits for an answer; see `edge.adb.pump`.

    Args:
        transport: leads to the device; its `peer` becomes the serial. It is released with the connection.
        key: proves who we are; None takes `default_key()` when the device asks.
        timeout: seconds to wait for the handshake and the answer to `open`.
        confirm_timeout: seconds to wait for a confirmation on the device's screen, after our public key was sent.
        notify: told when somebody has to confirm on the device's screen.

    Raises:
        AuthError: the device does not accept the key.
        DeviceError: no device there, or it does not speak adb.
    """

    def __init__(
        self,
        transport: Transport,
        key: HostKey | None = None,
        timeout: float = 10.0,
        *,
        confirm_timeout: float = 30.0,
        notify: Callable[[str], None] = _log.warning,
    ) -> None:
        self.serial = transport.peer
        self._key = key
        self._timeout = timeout
        self._confirm_timeout = confirm_timeout
        self._notify = notify
        self._closed = False
        self._link = MessageLink(transport)
        try:
            answer = self._handshake()
            self._link.agree(answer.arg0, answer.arg1)
        except BaseException:
            self._link.release()
            raise
        self.banner = parse_banner(answer.data)
        offered = frozenset(filter(None, self.banner.get("features", "").split(",")))
        self.features = offered & frozenset(HOST_FEATURES)
        self._link.set_timeout(None)
        self._mux = Multiplexer(self._link, delayed_ack="delayed_ack" in self.features, spin=True)
        self._reader = threading.Thread(target=self._mux.pump.run, name=f"adb {self.serial}", daemon=True)
        self._reader.start()

    @classmethod
    def tcp(cls, host: str, port: int, key: HostKey | None = None) -> DirectConnection:
        """Connect to the adb that listens at `host:port`."""
        return cls(dial(host, port), key)

    @classmethod
    def over(cls, connected: socket.socket, name: str, key: HostKey | None = None) -> DirectConnection:
        """Take a socket that is connected to a device's adb already."""
        return cls(SocketTransport(connected, name), key)

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._reader.is_alive() and not self._closed

    def open(self, service: str) -> MuxStream:
        """See `Connection.open`. A refusal is seen at once."""
        stream = self._mux.add(service)
        try:
            window = WINDOW if self._mux.delayed_ack else 0
            self._link.send(OPEN, stream.local_id, window, service.encode("utf-8", "surrogateescape") + b"\0")
            opened = stream.wait_until_open(self._timeout)
        except TimeoutError:
            stream.close()
            raise DeviceError(f"no answer to {service!r} in {self._timeout:g} s", device=self.serial) from None
        except BaseException:
            stream.close()
            raise
        if not opened:
            stream.close()
            raise DeviceError(f"the device refused {service!r}", device=self.serial)
        return stream

    def close(self) -> None:
        """End every stream and the connection; returns when its reader thread has ended."""
        self._closed = True
        self._link.close()
        if threading.current_thread() is not self._reader:
            self._reader.join()

    def __enter__(self) -> DirectConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handshake(self) -> Message:
        """Say who we are until the device says CNXN."""
        self._link.send(CNXN, VERSION, MAX_PAYLOAD, f"host::features={','.join(HOST_FEATURES)}".encode())
        deadline = time.monotonic() + self._timeout
        tokens = 0
        while True:
            message = self._receive(deadline, tokens)
            if message.command == CNXN:
                return message
            if message.command == STLS:
                raise AuthError(
                    "the device wants TLS (wireless debugging)",
                    device=self.serial,
                    hint="pair it with `adb pair`, then use serial:… through the adb server",
                )
            if message.command != AUTH or message.arg0 != AUTH_TOKEN or len(message.data) != TOKEN_BYTES:
                raise ProtocolError(f"{command_name(message.command)} in the handshake", device=self.serial)
            tokens += 1
            deadline = self._authenticate(message.data, tokens, deadline)

    def _authenticate(self, token: bytes, tokens: int, deadline: float) -> float:
        key = self._key = self._key or default_key()
        if tokens == 1:
            self._link.send(AUTH, AUTH_SIGNATURE, 0, key.sign(token))
            return deadline
        if tokens > 2:
            raise self._refused()
        self._notify(f"{self.serial}: {_CONFIRM}")
        self._link.send(AUTH, AUTH_PUBLIC_KEY, 0, key.public_text() + b"\0")
        return time.monotonic() + self._confirm_timeout

    def _receive(self, deadline: float, tokens: int) -> Message:
        try:
            self._link.set_timeout(max(deadline - time.monotonic(), 0.001))
            return self._link.receive()
        except TimeoutError:
            if tokens:
                raise self._refused() from None
            raise DeviceError(
                f"no adb answer in {self._timeout:g} s", device=self.serial, hint="does adb listen on this port?"
            ) from None
        except ProtocolError:
            raise
        except DeviceError as error:
            if tokens:
                raise self._refused() from error
            raise

    def _refused(self) -> AuthError:
        path = self._key.path if self._key else "none"
        return AuthError(
            f"the device does not accept the key {path}",
            device=self.serial,
            hint="confirm the question on its screen, or name the key it knows",
        )
