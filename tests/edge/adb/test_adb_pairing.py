"""Phones over Wi-Fi through the adb server: its words, and what is made of them.

Pairing itself needs a phone: a server of ours that says what adb 36 says stands for it where it succeeds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.adb import pairing, program
from edge.adb.program import ensure_server, find_adb, start_server
from edge.adb.server import ServerConnection, server_runs, state_hint
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import AuthError, DeviceError, UsageError

from .conftest import RealAdb, free_port

pytestmark = [pytest.mark.device, pytest.mark.adb_client]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No server runs, but one may be started; it ends with the test."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    for name, value in {"ADB_MDNS": "0", "ADB_MDNS_OPENSCREEN": "0", "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553"}.items():
        monkeypatch.setenv(name, value)
    try:
        adb = find_adb()
    except DeviceError as error:
        pytest.skip(str(error))
    yield
    if server_runs():
        port = os.environ["ANDROID_ADB_SERVER_PORT"]
        subprocess.run([adb, "-P", port, "kill-server"], capture_output=True, check=True, timeout=20)


@contextmanager
def _server_that_says(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """An adb server with one answer for everything."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(listener.getsockname()[1]))

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                asked.append(accepted.recv(4096))
                accepted.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        thread.join(5)


def _block(words: str) -> bytes:
    return b"%04x" % len(words) + words.encode()


def test_a_pairing_that_succeeds_names_the_phone(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "Successfully paired to 192.168.1.20:37123 [guid=adb-R58M-abcdef]"
    with _server_that_says(b"OKAY" + _block(words), monkeypatch) as asked:
        assert pairing.pair("192.168.1.20:37123", " 123456\n") == words
    assert asked == [b"0023host:pair:123456:192.168.1.20:37123"]


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (
            b"OKAYFAIL" + _block("Failed: Wrong password or connection was dropped."),
            AuthError,
            "refuses the pairing code",
        ),
        (b"OKAYFAIL" + _block("Failed: Unable to start pairing client."), DeviceError, "nobody waits to be paired"),
        (b"FAIL" + _block("unknown host service"), DeviceError, "too old to pair"),
        (b"OKAY" + _block("something else"), DeviceError, "not paired"),
        (b"OKAY00", DeviceError, "broke off"),
        (b"", DeviceError, "refused|broke off"),
    ],
    ids=["wrong code", "nobody there", "old server", "unknown words", "torn", "closed"],
)
def test_a_pairing_that_fails_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, kind: type[DeviceError], told: str
) -> None:
    with (
        _server_that_says(answer, monkeypatch),
        pytest.raises(kind, match=told) as caught,
    ):
        pairing.pair("192.168.1.20:37123", "123456")
    assert type(caught.value) is kind


@pytest.mark.parametrize("code", ["", "  ", "12:34"])
def test_what_is_no_code_does_not_reach_the_server(code: str) -> None:
    # adb 36's server dies of an empty one.
    with pytest.raises(UsageError, match="pairing code"):
        pairing.pair("192.168.1.20:37123", code)
    assert not server_runs()


@pytest.mark.parametrize(
    "text", ["", "phone", "phone:", "phone:0", "phone:65536", "phone:x", ":5555", "a b:5555", "fe80::1"]
)
def test_what_is_no_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        pairing.parse_address(text)


def test_addresses_are_completed() -> None:
    assert pairing.parse_address("192.168.1.20", 5555) == "192.168.1.20:5555"
    assert pairing.parse_address("[fe80::1]", 5555) == "[fe80::1]:5555"
    assert pairing.parse_address("[fe80::1]:37123", 5555) == "[fe80::1]:37123"


@pytest.mark.usefixtures("server")
def test_a_server_is_started_once_and_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceError, match="not found") as caught:
        ServerConnection("R58M")
    assert "there are: none" in (caught.value.hint or "")
    assert server_runs()
    # The real one, where nobody waits to be paired.
    with pytest.raises(DeviceError, match="nobody waits"):
        pairing.pair(f"127.0.0.1:{free_port()}", "123456")
    ensure_server()
    assert capfd.readouterr() == ("", "")


def test_connect_and_disconnect_by_a_server_that_runs(
    real_adb: RealAdb, device: EmbeddedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(real_adb.port))
    with EmbeddedDevice.start(key=device.key_path) as other:
        address = f"127.0.0.1:{other.address[1]}"
        assert pairing.connect(address) == address
        assert pairing.connect(address) == address
        ServerConnection(address).close()
        pairing.disconnect(address)
        with pytest.raises(DeviceError, match="not connected"):
            pairing.disconnect(address)
        with pytest.raises(DeviceError, match="not found") as caught:
            ServerConnection(address)
        assert f"serial:{real_adb.serial}" in (caught.value.hint or "")
    with pytest.raises(DeviceError, match="cannot connect"):
        pairing.connect(f"127.0.0.1:{free_port()}")


def test_connect_with_a_foreign_key_is_an_auth_error(real_adb: RealAdb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(real_adb.port))
    with EmbeddedDevice.start() as stranger:
        address = f"127.0.0.1:{stranger.address[1]}"
        with pytest.raises(AuthError, match="does not know this computer"):
            pairing.connect(address)
        real_adb("disconnect", address)


def test_a_machine_without_adb_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_runs", lambda _: False)
    with pytest.raises(DeviceError, match="no adb program for this machine") as caught:
        find_adb()
    assert "install" in (caught.value.hint or "")


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "absent" / "home"))
    with pytest.raises(DeviceError, match=r"none could be started: .*mkdir"):
        start_server("127.0.0.1", free_port())
    with pytest.raises(DeviceError, match="no adb server on 192"):
        start_server("192.168.1.1", 5037)


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("unauthorized", "confirm"),
        ("offline", "reconnect"),
        ("no permissions (missing udev rules? user is in the plugdev group); see [http://…]", "udev"),
        ("recovery", "normally"),
        ("anything new", "adb devices"),
    ],
)
def test_every_state_has_a_hint(state: str, hint: str) -> None:
    assert hint in state_hint(state)
