"""Nothing that a host sends ends the embedded device."""

from __future__ import annotations

import contextlib
import socket
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.adb.link import MessageLink
from edge.adb.messages import AUTH, AUTH_SIGNATURE, CLSE, CNXN, OKAY, OPEN, STLS, SYNC, WRTE, pack_header
from edge.adb.transport import SocketTransport
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import DeviceError

pytestmark = pytest.mark.device

commands = st.sampled_from([SYNC, CNXN, AUTH, OPEN, OKAY, CLSE, WRTE, STLS]) | st.integers(0, 0xFFFFFFFF)
words = st.sampled_from([0, 1, 2, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
payloads = st.binary(max_size=64) | st.sampled_from(
    [
        b"sync:\0",
        b"shell,v2,raw:cat\0",
        b"shell,v2,pty:\0",
        b"tcp:0\0",
        b"tcp:99999\0",
        b"\xff\xfe\0",
        b"shell:\0",
        b"\0",
    ]
)
messages = st.tuples(commands, words, words, payloads)
bounded = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _still_serves(device: EmbeddedDevice) -> bool:
    with Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as adb:
        return device.running and adb.shell("echo here").stdout == b"here\n"


@bounded
@given(st.binary(min_size=1, max_size=200))
def test_bytes_that_are_no_message_end_their_connection_only(device: EmbeddedDevice, data: bytes) -> None:
    # It may hang up on us at any of these.
    with contextlib.suppress(OSError), socket.create_connection(device.address, 5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert device.running


@bounded
@given(st.lists(messages, min_size=1, max_size=8))
def test_messages_that_make_no_sense_before_authentication_let_nobody_in(device: EmbeddedDevice, sent) -> None:
    with socket.create_connection(device.address, 5) as connection:
        received = b""
        with contextlib.suppress(OSError):
            for command, first, second, data in sent:
                connection.sendall(pack_header(command, first, second, len(data)) + data)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(4096):
                received += data
    assert b"CNXN" not in received
    assert b"OKAY" not in received
    assert device.running


@bounded
@given(st.lists(messages, min_size=1, max_size=8))
def test_messages_that_make_no_sense_after_authentication_end_their_connection_only(
    device: EmbeddedDevice, sent
) -> None:
    with socket.create_connection(device.address, 5) as connection:
        link = MessageLink(SocketTransport(connection, "device"))
        link.send(CNXN, 0x01000001, 1 << 20, b"host::features=delayed_ack")
        link.send(AUTH, AUTH_SIGNATURE, 0, HostKey(device.key_path).sign(link.receive().data))
        assert link.receive().command == CNXN
        with contextlib.suppress(OSError, DeviceError):
            for command, first, second, data in sent:
                connection.sendall(pack_header(command, first, second, len(data)) + data)
    assert device.running


def test_a_payload_beyond_the_limit_is_not_waited_for(device: EmbeddedDevice) -> None:
    with socket.create_connection(device.address, 5) as connection:
        connection.sendall(pack_header(CNXN, 0x01000001, 1 << 20, 0xFFFFFFFF))
        assert connection.recv(1) == b""
    assert _still_serves(device)


@bounded
@given(
    st.sampled_from([b"SEND", b"SND2", b"RECV", b"RCV2", b"STAT", b"LIST", b"LIS2", b"????"]), st.binary(max_size=80)
)
def test_sync_requests_that_make_no_sense_end_their_stream_only(
    device: EmbeddedDevice, name: bytes, rest: bytes
) -> None:
    with DirectConnection.tcp(*device.address, HostKey(device.key_path)) as connection:
        stream = connection.open("sync:")
        with contextlib.suppress(DeviceError):
            stream.send(name + struct.pack("<I", len(rest)) + rest + b"\xff" * 16)
        stream.close()
        other = Adb(connection).stat("system/build.prop")
    assert other is not None
    assert other.size > 0


def test_it_still_serves_after_all_that(device: EmbeddedDevice) -> None:
    assert _still_serves(device)
