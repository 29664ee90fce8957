"""A real embedded device, and a real adb server in front of it, for every test of the host's side."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.adb.server import ServerConnection
from edge.devices.embedded.launch import EmbeddedDevice


@dataclass(frozen=True)
class RealAdb:
    """The real client and its server, private to these tests."""

    binary: str
    port: int
    environment: dict[str, str]
    serial: str

    def __call__(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [self.binary, "-P", str(self.port), "-s", self.serial, *arguments]
        return subprocess.run(command, env=self.environment, input=stdin, capture_output=True, timeout=20, check=False)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the user's keys, nor their emulators, nor their adb server."""
    for name in ("HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "EDGECAT_STATE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)


@pytest.fixture(scope="session")
def device() -> Iterator[EmbeddedDevice]:
    with EmbeddedDevice.start() as started:
        yield started


@pytest.fixture
def connection(device: EmbeddedDevice) -> Iterator[DirectConnection]:
    with DirectConnection.tcp(*device.address, HostKey(device.key_path)) as opened:
        yield opened


@pytest.fixture(scope="session")
def real_adb(device: EmbeddedDevice, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAdb]:
    import adbutils

    wheels = Path(adbutils.__file__).parent / "binaries" / "adb"
    binary = shutil.which("adb") or (str(wheels) if wheels.is_file() else None)
    if binary is None:
        pytest.skip("no adb client here: neither on PATH nor in adbutils' wheel")
    port = free_port()
    home = tmp_path_factory.mktemp("adb-home")
    environment = os.environ | {
        "HOME": str(home),
        "ANDROID_ADB_SERVER_PORT": str(port),
        "ADB_VENDOR_KEYS": str(device.key_path),
        "ADB_MDNS": "0",
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
    }
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [binary, "-P", str(port), "nodaemon", "server"], env=environment, stdout=log, stderr=log
        )
    try:
        _wait_for_port(port, server)
        adb = RealAdb(binary, port, environment, f"{device.address[0]}:{device.address[1]}")
        said = adb("connect", adb.serial).stdout
        assert said.startswith(b"connected to"), said
        yield adb
    finally:
        server.kill()
        server.wait()


@pytest.fixture(params=["direct", pytest.param("server", marks=pytest.mark.adb_client)])
def adb(request: pytest.FixtureRequest, device: EmbeddedDevice, monkeypatch: pytest.MonkeyPatch) -> Iterator[Adb]:
    """The device over each of the two roads."""
    if request.param == "direct":
        with Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as opened:
            yield opened
        return
    real: RealAdb = request.getfixturevalue("real_adb")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(real.port))
    with Adb(ServerConnection(real.serial)) as opened:
        yield opened


def _wait_for_port(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the adb server did not start")
