"""One host's connection to the embedded device: authentication, then its streams."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge.adb.keys import verify
from edge.adb.link import MessageLink
from edge.adb.messages import (
    AUTH,
    AUTH_SIGNATURE,
    AUTH_TOKEN,
    CLSE,
    CNXN,
    MAX_PAYLOAD,
    MAX_PAYLOAD_BEFORE_CONNECT,
    OKAY,
    OPEN,
    TOKEN_BYTES,
    VERSION,
    WRTE,
    Message,
    command_name,
    parse_banner,
)
from edge.adb.multiplex import Multiplexer, MuxStream
from edge.adb.transport import SocketTransport
from edge.devices.embedded.confinement import Confinement
from edge.devices.embedded.forward import connect_service, pump
from edge.devices.embedded.processes import ProcessRegistry
from edge.devices.embedded.shell import ShellRequest, ShellService
from edge.devices.embedded.sync import SyncService
from foundation.errors import DeviceError, ProtocolError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

FEATURES = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2", "delayed_ack")
HANDSHAKE_SECONDS = 10.0
MOST_SIGNATURES = 64
MOST_STREAMS = 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What every connection to the device shares.

    Attributes:
        root: where everything of the device stands, resolved.
        keys: the public keys that are let in.
        properties: what `getprop` says.
        environment: of its shell.
        processes: the commands that run.
    """

    root: Path
    keys: tuple[RSAPublicKey, ...]
    properties: dict[str, str]
    environment: dict[str, str]
    processes: ProcessRegistry

    def banner(self) -> bytes:
        """What CNXN says about the device."""
        names = ("ro.product.name", "ro.product.model", "ro.product.device")
        pairs = [f"{name}={self.properties[name]}" for name in names]
        return f"device::{';'.join(pairs)};features={','.join(FEATURES)}".encode()


class Session:
    """Serves one connection until it ends; a host that breaks the protocol loses its connection, nothing else."""

    def __init__(self, device: Device, connected: socket.socket, peer: str) -> None:
        self._device = device
        self._link = MessageLink(SocketTransport(connected, peer), accepts=MAX_PAYLOAD_BEFORE_CONNECT)

    def serve(self) -> None:
        """Authenticate the host, then serve its streams; returns when the connection has ended."""
        try:
            self._link.set_timeout(HANDSHAKE_SECONDS)
            hello = self._authenticated(self._expect((CNXN,)))
            mux = self._connect(hello)
            self._link.set_timeout(None)
            mux.pump.run()
        except TimeoutError:
            _log.info("%s: no handshake in %g s", self._link.peer, HANDSHAKE_SECONDS)
        except DeviceError as error:
            _log.info("%s", error)
        finally:
            self._link.release()

    def end(self) -> None:
        """End the connection; `serve` returns."""
        self._link.close()

    def _expect(self, commands: Iterable[int]) -> Message:
        message = self._link.receive()
        if message.command not in commands:
            raise ProtocolError(f"{self._link.peer} sent {command_name(message.command)} before authentication")
        return message

    def _authenticated(self, hello: Message) -> Message:
        """Let the host sign tokens until one signature fits a key.

        A public key is public: whoever sends one instead of a signature has shown nothing and is turned away.
        """
        for _ in range(MOST_SIGNATURES):
            token = os.urandom(TOKEN_BYTES)
            self._link.send(AUTH, AUTH_TOKEN, 0, token)
            answer = self._expect((AUTH,))
            if answer.arg0 != AUTH_SIGNATURE:
                break
            if any(verify(key, token, answer.data) for key in self._device.keys):
                return hello
        raise DeviceError(f"{self._link.peer} has no key that this device knows")

    def _connect(self, hello: Message) -> Multiplexer:
        theirs = parse_banner(hello.data).get("features", "").split(",")
        # Checksums belong to the version as agreed, so agree before the answer goes out.
        self._link.agree(hello.arg0, hello.arg1)
        mux = Multiplexer(self._link, delayed_ack="delayed_ack" in theirs, handle=lambda m: self._handle(mux, m))
        self._link.send(CNXN, VERSION, MAX_PAYLOAD, self._device.banner())
        return mux

    def _handle(self, mux: Multiplexer, message: Message) -> None:
        if message.command == OPEN:
            self._open(mux, message)
        elif message.command in (OKAY, WRTE, CLSE):
            mux.dispatch(message)
        else:
            raise ProtocolError(f"{self._link.peer} sent {command_name(message.command)} when it was connected")

    def _open(self, mux: Multiplexer, message: Message) -> None:
        if not message.arg0 or len(mux) >= MOST_STREAMS:
            raise ProtocolError(f"{self._link.peer} opens stream {message.arg0} with {len(mux)} open")
        service = message.data.rstrip(b"\0").decode("utf-8", "surrogateescape")
        stream = mux.add(service)

        def accept() -> None:
            stream.accept(message.arg0, message.arg1)

        threading.Thread(
            target=self._serve_stream, args=(stream, accept, message.arg0), name=f"adb {service[:24]}", daemon=True
        ).start()

    def _serve_stream(self, stream: MuxStream, accept: Callable[[], None], remote_id: int) -> None:
        try:
            self._run_service(stream, accept)
        except (OSError, ValueError, struct.error) as error:
            _log.info("%s: %s: %s", self._link.peer, stream.service, error)
        except DeviceError as error:
            _log.info("%s: %s", stream.service, error)
        finally:
            refused = not stream.remote_id
            stream.close()
            if refused:
                with contextlib.suppress(DeviceError):
                    self._link.send(CLSE, 0, remote_id)

    def _run_service(self, stream: MuxStream, accept: Callable[[], None]) -> None:
        device = self._device
        kind, _, address = stream.service.partition(":")
        if kind.split(",")[0] == "shell" or kind == "exec":
            request = ShellRequest.parse(stream.service)
            ShellService(device.root, device.environment, device.processes).serve(request, stream, accept)
        elif stream.service == "sync:":
            accept()
            SyncService(Confinement(device.root), stream).serve()
        elif kind in ("tcp", "localabstract"):
            connected = connect_service(kind, address)
            with connected:
                accept()
                pump(stream, connected)
        else:
            raise DeviceError(f"no such service: {stream.service!r}")
