"""No device, too many, one that is not built yet, one that does not let us in: one line, and exit code 3 (or 2)."""

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

from edge.adb.keys import make_key
from edge.devices.embedded.launch import EmbeddedDevice

from .command_line import CommandLine
from .conftest import Emulator, free_port

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(60, func_only=True)]


@dataclass(frozen=True)
class AdbServer:
    """A real adb server of these tests' own, with two devices."""

    port: str
    serials: tuple[str, str]


@pytest.fixture(scope="module")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdbServer]:
    import adbutils

    bundled = Path(adbutils.__file__).parent / "binaries" / "adb"
    adb = shutil.which("adb") or (str(bundled) if bundled.is_file() else None)
    if adb is None:
        pytest.skip("no adb client here: neither on PATH nor in adbutils' wheel")
    home, port = tmp_path_factory.mktemp("adb-home"), free_port()
    key = make_key(home / "key").path
    environment = os.environ | {"HOME": str(home), "ADB_VENDOR_KEYS": str(key), "ADB_MDNS": "0"}
    # Else it looks for emulators of Android Studio.
    environment["ADB_LOCAL_TRANSPORT_MAX_PORT"] = "5553"
    with (
        (home / "server.log").open("wb") as log,
        EmbeddedDevice.start(key=key) as first,
        EmbeddedDevice.start(key=key) as second,
    ):
        command = [adb, "-P", str(port)]
        server = subprocess.Popen([*command, "nodaemon", "server"], env=environment, stdout=log, stderr=log)
        try:
            _wait_for(port, server)
            serials = tuple(f"{host}:{number}" for host, number in (first.address, second.address))
            for serial in serials:
                said = subprocess.run([*command, "connect", serial], env=environment, capture_output=True, check=True)
                assert said.stdout.startswith(b"connected to"), said
            yield AdbServer(str(port), (serials[0], serials[1]))
        finally:
            server.kill()
            server.wait()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail("the adb server did not start")


def test_a_port_where_nobody_listens_is_refused(edgecat: CommandLine, model: Path) -> None:
    told = edgecat("push", model, "--device", f"tcp:127.0.0.1:{free_port()}").refusal(3)
    assert "refused" in told
    assert "hint:" in told


def test_no_phone_and_no_adb_server_is_told_and_no_server_is_started(edgecat: CommandLine, model: Path) -> None:
    told = edgecat("push", model, "--device", "serial").refusal(3)
    assert "no device that can be used" in told
    assert "embedded" in told
    assert "no adb server runs" in edgecat("devices").stdout


@pytest.mark.adb_client
def test_a_serial_that_no_phone_has_is_told(edgecat: CommandLine, model: Path, adb_server: AdbServer) -> None:
    environment = {"ANDROID_ADB_SERVER_PORT": adb_server.port}
    assert "NOSUCH" in edgecat("push", model, "--device", "serial:NOSUCH", **environment).refusal(3)
    assert "NOSUCH" in edgecat("push", model, ANDROID_SERIAL="NOSUCH", **environment).refusal(3)


@pytest.mark.adb_client
def test_two_phones_and_no_choice_names_both(edgecat: CommandLine, model: Path, adb_server: AdbServer) -> None:
    environment = {"ANDROID_ADB_SERVER_PORT": adb_server.port}
    told = edgecat("push", model, "--device", "serial", **environment).refusal(3)
    assert "2 devices and no choice" in told
    assert all(f"serial:{serial}" in told for serial in adb_server.serials)
    listed = {device["spec"] for device in edgecat("devices", "--json", **environment).document()["devices"]}
    assert {f"serial:{serial}" for serial in adb_server.serials} <= listed


@pytest.mark.adb_client
def test_android_serial_chooses_one_of_two(edgecat: CommandLine, model: Path, adb_server: AdbServer) -> None:
    environment = {"ANDROID_ADB_SERVER_PORT": adb_server.port, "ANDROID_SERIAL": adb_server.serials[1]}
    document = edgecat("push", model, "--json", **environment).document()
    assert document["device"] == f"serial:{adb_server.serials[1]}"


def test_a_key_that_the_device_does_not_know_is_refused(
    edgecat: CommandLine, model: Path, emulator: Emulator, tmp_path: Path
) -> None:
    spec = f"tcp:{emulator.address}"
    foreign = make_key(tmp_path / "foreign").path
    told = edgecat("push", model, "--device", spec, "--key", foreign).refusal(3)
    assert "key" in told
    assert edgecat("push", model, "--device", spec, "--key", emulator.key).code == 0


def test_a_key_that_is_not_there_or_is_no_key_is_wrong_usage(
    edgecat: CommandLine, model: Path, emulator: Emulator, tmp_path: Path
) -> None:
    spec = f"tcp:{emulator.address}"
    assert "absent" in edgecat("push", model, "--device", spec, "--key", tmp_path / "absent").refusal(2)
    (tmp_path / "garbage").write_text("no key")
    assert "garbage" in edgecat("push", model, "--device", spec, "--key", tmp_path / "garbage").refusal(2)


@pytest.mark.parametrize("spec", ["toaster", "tcp:", "tcp:host:none", "emulator:", "serial:"])
def test_a_spec_that_nobody_understands_says_which_there_are(edgecat: CommandLine, model: Path, spec: str) -> None:
    assert "hint:" in edgecat("push", model, "--device", spec).refusal(2)


def test_an_emulator_that_does_not_run_is_told(edgecat: CommandLine, model: Path) -> None:
    told = edgecat("push", model, "--device", "emulator:absent").refusal(3)
    assert "edgecat emulator start --name absent" in told
    assert "no emulator absent runs" in edgecat("emulator", "stop", "--name", "absent").refusal(3)
