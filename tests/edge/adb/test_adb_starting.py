"""Devices that are not there yet, or answer before Android has started."""

from __future__ import annotations

import threading
import time

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey, make_key
from edge.adb.starting import connect_when_started
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import AuthError, DeviceError

from .conftest import free_port

pytestmark = pytest.mark.device

_BOOTING = {"init.svc.adbd": "running", "ro.build.version.sdk": "34"}


def test_a_device_without_android_s_init_has_started_when_it_answers(connection: DirectConnection) -> None:
    Adb(connection).wait(0)


def test_android_has_started_when_it_says_so(connection: DirectConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    said = [_BOOTING, _BOOTING | {"sys.boot_completed": "0"}, _BOOTING | {"sys.boot_completed": "1"}]
    monkeypatch.setattr(Adb, "properties", lambda _: said.pop(0))
    Adb(connection).wait(5)
    assert said == []


def test_a_start_that_takes_too_long_is_a_device_error(
    connection: DirectConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adb, "properties", lambda _: _BOOTING)
    with pytest.raises(DeviceError, match="not started"):
        Adb(connection).wait(0.1)


def test_a_device_that_comes_later_is_waited_for(device: EmbeddedDevice) -> None:
    port = free_port()
    started: list[EmbeddedDevice] = []

    def start() -> None:
        time.sleep(0.5)
        started.append(EmbeddedDevice.start(key=device.key_path, port=port))

    thread = threading.Thread(target=start)
    thread.start()
    try:
        key = HostKey(device.key_path)
        with connect_when_started(lambda: DirectConnection.tcp("127.0.0.1", port, key), 20) as adb:
            assert adb.shell("echo fine").stdout == b"fine\n"
    finally:
        thread.join()
        started[0].stop()


def test_a_device_that_never_comes_is_told_with_the_last_reason() -> None:
    port = free_port()
    begun = time.monotonic()
    with pytest.raises(DeviceError, match=r"no device in 0\.5 s: .*refused"):
        connect_when_started(lambda: DirectConnection.tcp("127.0.0.1", port), 0.5)
    assert time.monotonic() - begun < 2


def test_a_key_that_is_refused_is_not_offered_again_and_again(device: EmbeddedDevice, tmp_path) -> None:
    foreign = make_key(tmp_path / "foreign")
    begun = time.monotonic()
    with pytest.raises(AuthError):
        connect_when_started(lambda: DirectConnection.tcp(*device.address, foreign), 20)
    assert time.monotonic() - begun < 3


def test_a_device_that_cannot_reboot_says_so(connection: DirectConnection) -> None:
    with pytest.raises(DeviceError, match="refused 'reboot:'"):
        Adb(connection).reboot()
    assert Adb(connection).shell("echo fine").stdout == b"fine\n"
