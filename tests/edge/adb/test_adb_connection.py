"""Direct connections: many streams, refusals, wrong keys, and devices that vanish."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from edge.adb import connection as connection_module
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey, decode_public_key, make_key, verify
from edge.adb.link import MessageLink
from edge.adb.messages import AUTH, AUTH_PUBLIC_KEY, AUTH_TOKEN, CLSE, CNXN, OKAY, OPEN, STLS, WRTE, Message
from edge.adb.multiplex import WINDOW
from edge.adb.transport import SocketTransport, dial
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import AuthError, DeviceError, ProtocolError

pytestmark = pytest.mark.device


@pytest.fixture(params=["delayed_ack", "one_at_a_time"])
def either(
    request: pytest.FixtureRequest, device: EmbeddedDevice, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DirectConnection]:
    """A connection with each of the two kinds of acknowledgement."""
    if request.param == "one_at_a_time":
        features = tuple(f for f in connection_module.HOST_FEATURES if f != "delayed_ack")
        monkeypatch.setattr(connection_module, "HOST_FEATURES", features)
    with DirectConnection.tcp(*device.address, HostKey(device.key_path)) as opened:
        assert ("delayed_ack" in opened.features) == (request.param == "delayed_ack")
        yield opened


def test_four_threads_run_fifty_commands_each_and_none_is_lost(either: DirectConnection) -> None:
    adb = Adb(either)

    def ask(number: int) -> bool:
        result = adb.shell(f"echo {number}; exit {number % 7}")
        return result.stdout == f"{number}\n".encode() and result.exit_code == number % 7

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, range(200))) == 200


def test_a_refused_service_is_an_error_at_once(either: DirectConnection) -> None:
    for service in ("no-such-service:", "tcp:1", "localabstract:nobody-listens-here", "tcp:not-a-port"):
        begun = time.monotonic()
        with pytest.raises(DeviceError, match="refused"):
            either.open(service)
        assert time.monotonic() - begun < 1
    assert Adb(either).shell("echo fine").stdout == b"fine\n"


def test_streams_run_side_by_side_and_a_slow_one_holds_up_nobody(either: DirectConnection) -> None:
    adb = Adb(either)
    with closing(adb.open("exec:sleep 5")), adb.start("cat /dev/zero") as flood:
        assert flood.read(1 << 20) == bytes(1 << 20)
        begun = time.monotonic()
        assert adb.shell("echo quick").stdout == b"quick\n"
        assert time.monotonic() - begun < 2


def test_a_reader_that_does_not_read_stops_its_writer(either: DirectConnection) -> None:
    with closing(either.open("exec:cat /dev/zero")) as stream:
        deadline = time.monotonic() + 5
        held = -1
        while held != stream._unread and time.monotonic() < deadline:
            held = stream._unread
            time.sleep(0.3)
        assert 0 < held <= WINDOW + (1 << 20)
        assert len(stream.receive(3 * WINDOW)) == 3 * WINDOW


def test_eight_mebibytes_come_back_as_they_went(either: DirectConnection) -> None:
    data = os.urandom(8 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with closing(either.open(f"tcp:{listener.getsockname()[1]}")) as stream:
            writer = threading.Thread(target=stream.send, args=(data,))
            writer.start()
            assert stream.receive(len(data)) == data
            writer.join()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX") or os.uname().sysname != "Linux", reason="an abstract name of Linux")
def test_an_abstract_socket_on_the_device_is_reached(either: DirectConnection) -> None:
    name = f"edgecat-test-{os.getpid()}-{time.monotonic_ns()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        threading.Thread(target=_echo, args=(listener,), daemon=True).start()
        with closing(either.open(f"localabstract:{name}")) as stream:
            stream.send(b"hello")
            assert stream.receive(5) == b"hello"


def test_a_wrong_key_is_refused_quickly_and_said_so(device: EmbeddedDevice, tmp_path: Path) -> None:
    begun = time.monotonic()
    notes: list[str] = []
    with pytest.raises(AuthError, match="does not accept the key") as caught:
        DirectConnection(dial(*device.address), make_key(tmp_path / "foreign"), notify=notes.append)
    assert time.monotonic() - begun < 2
    assert caught.value.hint
    assert "confirm on its screen" in notes[0]


def test_nobody_listening_is_a_device_error_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeviceError, match="refused") as caught:
        DirectConnection.tcp("127.0.0.1", port)
    assert caught.value.hint


def test_a_killed_device_wakes_a_blocked_reader_within_a_second_and_burns_no_cpu() -> None:
    with EmbeddedDevice.start() as device:
        connection = DirectConnection.tcp(*device.address, HostKey(device.key_path))
        stream = connection.open("exec:cat")
        woken: list[tuple[float, BaseException]] = []

        def wait() -> None:
            try:
                stream.receive(1)
            except DeviceError as error:
                woken.append((time.monotonic(), error))

        reader = threading.Thread(target=wait)
        reader.start()
        time.sleep(0.1)
        killed = time.monotonic()
        os.kill(device.pid, signal.SIGKILL)
        reader.join(5)
        assert woken
        assert woken[0][0] - killed < 1
        spent = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - spent < 0.15
        assert not connection.alive
        with pytest.raises(DeviceError):
            connection.open("exec:true")
        connection.close()


def test_closing_a_connection_ends_its_threads_and_wakes_its_readers(device: EmbeddedDevice) -> None:
    before = threading.active_count()
    connection = DirectConnection.tcp(*device.address, HostKey(device.key_path))
    session = Adb(connection).start("sleep 60")
    failures: list[DeviceError] = []

    def wait() -> None:
        try:
            session.read(1)
        except DeviceError as error:
            failures.append(error)

    reader = threading.Thread(target=wait)
    reader.start()
    time.sleep(0.05)
    connection.close()
    reader.join(5)
    assert len(failures) == 1
    assert threading.active_count() == before


def test_an_old_device_gets_checksums_and_small_messages() -> None:
    received: list[Message] = []

    def old_device(link: MessageLink) -> None:
        link.receive()
        link.send(CNXN, 0x01000000, 4096, b"device::\0")
        link.agree(0x01000000, 4096)
        opened = link.receive()
        assert opened.command == OPEN
        link.send(OKAY, 77, opened.arg0)
        for _ in range(3):
            received.append(link.receive())
            link.send(OKAY, 77, opened.arg0)
        link.send(WRTE, 77, opened.arg0, b"answer")
        assert link.receive().command == OKAY
        link.send(CLSE, 77, opened.arg0)
        assert link.receive().command == CLSE

    with _fake_device(old_device) as port, DirectConnection.tcp("127.0.0.1", port) as connection:
        assert connection.features == frozenset()
        stream = connection.open("exec:cat")
        stream.send(bytes(range(256)) * 40)
        assert stream.receive(6) == b"answer"
        assert stream.receive_some() == b""
        stream.close()
    assert b"".join(message.data for message in received) == bytes(range(256)) * 40
    assert [len(message.data) for message in received] == [4096, 4096, 2048]


def test_a_phone_that_asks_for_confirmation_is_waited_for(tmp_path: Path) -> None:
    key = make_key(tmp_path / "adbkey")

    def phone(link: MessageLink) -> None:
        link.receive()
        for _ in range(2):
            link.send(AUTH, AUTH_TOKEN, 0, bytes(20))
            answer = link.receive()
        assert answer.arg0 == AUTH_PUBLIC_KEY
        assert verify(decode_public_key(answer.data), bytes(20), key.sign(bytes(20)))
        time.sleep(0.4)
        link.send(CNXN, 0x01000001, 1 << 20, b"device::features=shell_v2")

    notes: list[str] = []
    with (
        _fake_device(phone) as port,
        DirectConnection(dial("127.0.0.1", port), key, timeout=0.3, notify=notes.append) as c,
    ):
        assert c.features == {"shell_v2"}
    assert len(notes) == 1


def test_a_phone_that_nobody_confirms_on_is_an_auth_error(tmp_path: Path) -> None:
    def phone(link: MessageLink) -> None:
        link.receive()
        for _ in range(2):
            link.send(AUTH, AUTH_TOKEN, 0, bytes(20))
            link.receive()
        with pytest.raises(DeviceError):
            link.receive()

    with _fake_device(phone) as port, pytest.raises(AuthError, match="does not accept"):
        DirectConnection(dial("127.0.0.1", port), make_key(tmp_path / "k"), confirm_timeout=0.2, notify=lambda _: None)


def test_a_phone_that_wants_tls_sends_the_user_to_the_adb_server() -> None:
    def phone(link: MessageLink) -> None:
        link.receive()
        link.send(STLS, 0x01000000, 0)

    with _fake_device(phone) as port, pytest.raises(AuthError, match="TLS") as caught:
        DirectConnection.tcp("127.0.0.1", port)
    assert "serial:" in (caught.value.hint or "")


def test_a_listener_that_says_nothing_times_out() -> None:
    def silent(link: MessageLink) -> None:
        link.receive()
        with pytest.raises(DeviceError):
            link.receive()

    with _fake_device(silent) as port, pytest.raises(DeviceError, match="no adb answer"):
        DirectConnection(dial("127.0.0.1", port), timeout=0.2)


def test_a_listener_that_speaks_no_adb_breaks_the_protocol() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def web_server() -> None:
            accepted, _ = listener.accept()
            with accepted:
                accepted.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                accepted.recv(4096)

        threading.Thread(target=web_server, daemon=True).start()
        with pytest.raises(ProtocolError, match="magic"):
            DirectConnection(dial("127.0.0.1", listener.getsockname()[1]), timeout=2)


def test_a_device_that_sends_without_waiting_loses_the_connection() -> None:
    def greedy(link: MessageLink) -> None:
        link.receive()
        link.send(CNXN, 0x01000001, 1 << 20, b"device::")
        link.agree(0x01000001, 1 << 20)
        opened = link.receive()
        link.send(OKAY, 5, opened.arg0)
        with contextlib.suppress(DeviceError):
            while True:
                link.send(WRTE, 5, opened.arg0, bytes(1 << 20))

    with _fake_device(greedy) as port, DirectConnection.tcp("127.0.0.1", port) as connection:
        stream = connection.open("exec:yes")
        while connection.alive:
            time.sleep(0.01)
        assert stream.receive(WINDOW) == bytes(WINDOW)
        with pytest.raises(ProtocolError, match="acknowledg"):
            stream.receive(2 << 20)


def test_a_stream_that_opens_too_late_is_closed_again() -> None:
    seen: list[int] = []

    def late(link: MessageLink) -> None:
        link.receive()
        link.send(CNXN, 0x01000001, 1 << 20, b"device::")
        link.agree(0x01000001, 1 << 20)
        opened = link.receive()
        time.sleep(0.4)
        link.send(OKAY, 9, opened.arg0)
        answer = link.receive()
        seen.extend((answer.command, answer.arg1))

    with _fake_device(late) as port, DirectConnection(dial("127.0.0.1", port), timeout=0.2) as connection:
        with pytest.raises(DeviceError, match="no answer"):
            connection.open("exec:true")
        deadline = time.monotonic() + 3
        while not seen and time.monotonic() < deadline:
            time.sleep(0.01)
    assert seen == [CLSE, 9]


def _echo(listener: socket.socket) -> None:
    accepted, _ = listener.accept()
    with accepted:
        while data := accepted.recv(1 << 16):
            accepted.sendall(data)


@contextmanager
def _fake_device(behave: Callable[[MessageLink], None]) -> Iterator[int]:
    """A device that no real one can be made into: too old, too slow, or broken. Its failures are the test's."""
    failures: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            accepted, _ = listener.accept()
            accepted.settimeout(10)
            with accepted:
                try:
                    behave(MessageLink(SocketTransport(accepted, "host")))
                except BaseException as failure:  # noqa: BLE001  -- told by the test's own thread below
                    failures.append(failure)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()
    assert not failures, failures
