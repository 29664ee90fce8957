"""Streams to sockets on the device: `tcp:PORT` and `localabstract:NAME`."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from edge.adb.messages import MAX_PAYLOAD
from edge.adb.multiplex import MuxStream
from foundation.errors import DeviceError

_CONNECT_SECONDS = 10.0
_POLL_MS = 250


def connect_service(kind: str, address: str) -> socket.socket:
    """Connect to a port on loopback or to a name in Linux's abstract namespace.

    Raises:
        OSError: nobody listens there.
        ValueError: no such port.
    """
    if kind == "tcp":
        connected = socket.create_connection(("127.0.0.1", int(address)), _CONNECT_SECONDS)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(None)
        return connected
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.connect(f"\0{address}")
    except OSError:
        connected.close()
        raise
    return connected


def pump(stream: MuxStream, connected: socket.socket) -> None:
    """Carry bytes both ways until the socket or the stream ends."""
    upward = threading.Thread(target=_to_socket, args=(stream, connected), name="adb forward", daemon=True)
    upward.start()
    try:
        with contextlib.suppress(DeviceError, OSError):
            _to_stream(stream, connected)
    finally:
        stream.close()
        with contextlib.suppress(OSError):
            connected.shutdown(socket.SHUT_RDWR)
        upward.join()


def _to_stream(stream: MuxStream, connected: socket.socket) -> None:
    room = memoryview(bytearray(MAX_PAYLOAD))
    waiting = select.poll()
    waiting.register(connected, select.POLLIN)
    while not stream.ended:
        if waiting.poll(_POLL_MS):
            size = connected.recv_into(room)
            if not size:
                return
            stream.send(room[:size])


def _to_socket(stream: MuxStream, connected: socket.socket) -> None:
    with contextlib.suppress(DeviceError, OSError):
        while data := stream.receive_some():
            connected.sendall(data)
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
