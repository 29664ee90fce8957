"""A real embedded device for the tests of the device's side; nothing of the user's is touched."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.cache import cache_directory

_CACHE = cache_directory()


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's keys, nor their emulators, nor their adb server."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "EDGECAT_STATE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    # What takes minutes to fetch and harms nobody stays the user's, or CI's.
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(_CACHE))


@pytest.fixture(scope="module")
def device() -> Iterator[EmbeddedDevice]:
    with EmbeddedDevice.start() as started:
        yield started


@pytest.fixture
def adb(device: EmbeddedDevice) -> Iterator[Adb]:
    with Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as opened:
        yield opened
