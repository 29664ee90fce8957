"""The real adb client against the embedded device."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.keys import make_key
from edge.adb.server import ServerConnection, ServerDevice, list_server_devices, server_runs
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import DeviceError

pytestmark = [pytest.mark.device, pytest.mark.adb_client]


@pytest.fixture
def server(real_adb, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(real_adb.port))
    return real_adb


def test_adb_devices_names_it(real_adb) -> None:
    line = next(line for line in real_adb("devices", "-l").stdout.splitlines() if line.startswith(b"127.0.0.1"))
    assert line.split()[1] == b"device"
    assert b"model:edgecat_embedded" in line


def test_adb_shell_tells_exit_code_output_and_errors_apart(real_adb) -> None:
    done = real_adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert real_adb("shell", "cat", stdin=b"from stdin").stdout == b"from stdin"


def test_adb_exec_out_leaves_every_byte_as_it_is(real_adb) -> None:
    assert real_adb("exec-out", r"printf 'a\r\n\0b'").stdout == b"a\r\n\0b"


def test_adb_pushes_and_pulls_eight_mebibytes(real_adb, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(os.urandom(8 << 20))
    assert real_adb("push", str(tmp_path / "there"), "data/local/tmp/big").returncode == 0
    assert real_adb("pull", "data/local/tmp/big", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


def test_adb_pushes_and_pulls_a_tree(real_adb, device: EmbeddedDevice, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name, content in {"a": b"1", "b/c/d": os.urandom(100_000), "b/empty": b""}.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    (tree / "a").chmod(0o755)
    target = device.root / "data/local/tmp"
    assert real_adb("push", str(tree), str(target)).returncode == 0
    assert real_adb("pull", str(target / "tree"), str(tmp_path / "back")).returncode == 0
    for name in ("a", "b/c/d", "b/empty"):
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()
    assert (target / "tree/a").stat().st_mode & 0o777 == 0o755


def test_adb_push_outside_the_root_fails_and_says_where_the_root_is(real_adb, device, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    done = real_adb("push", str(tmp_path / "x"), str(tmp_path / "escaped"))
    assert done.returncode != 0
    assert str(device.root).encode() in done.stderr + done.stdout
    assert not (tmp_path / "escaped").exists()


def test_adb_forward_carries_bytes_both_ways(real_adb) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def shout() -> None:
            accepted, _ = listener.accept()
            with accepted:
                while data := accepted.recv(4096):
                    accepted.sendall(data.upper())

        threading.Thread(target=shout, daemon=True).start()
        port = int(real_adb("forward", "tcp:0", f"tcp:{listener.getsockname()[1]}").stdout)
        with socket.create_connection(("127.0.0.1", port), 5) as ours:
            ours.sendall(b"hello")
            assert ours.recv(10) == b"HELLO"
        assert real_adb("forward", "--remove", f"tcp:{port}").returncode == 0


def test_adb_with_a_foreign_key_is_not_let_in(real_adb, tmp_path: Path) -> None:
    foreign = make_key(tmp_path / "foreign")
    with EmbeddedDevice.start(key=foreign.path) as other:
        said = real_adb("connect", f"{other.address[0]}:{other.address[1]}")
        assert b"failed" in said.stdout
        listed = subprocess.run(
            [real_adb.binary, "-P", str(real_adb.port), "devices"],
            env=real_adb.environment,
            capture_output=True,
            check=True,
        ).stdout
        assert f":{other.address[1]}\tdevice".encode() not in listed
        real_adb("disconnect", f"{other.address[0]}:{other.address[1]}")


def test_the_server_s_devices_are_listed(server) -> None:
    assert ServerDevice(server.serial, "device") in list_server_devices()


@pytest.mark.usefixtures("server")
def test_a_serial_that_the_server_does_not_know_is_a_device_error() -> None:
    with pytest.raises(DeviceError, match="not found"):
        ServerConnection("no-such-serial")


def test_a_refused_service_through_the_server_is_a_device_error(server) -> None:
    with Adb(ServerConnection(server.serial)) as adb:
        assert adb.connection.alive
        with pytest.raises(DeviceError, match="refused"):
            adb.open("tcp:1")
        assert adb.shell("echo fine").stdout == b"fine\n"
    assert not adb.connection.alive


def test_listing_starts_no_server() -> None:
    assert not server_runs()
    assert list_server_devices() == []
    assert not server_runs()


def test_a_device_that_dies_behind_the_server_is_noticed(server) -> None:
    with EmbeddedDevice.start(key=Path(server.environment["ADB_VENDOR_KEYS"])) as other:
        serial = f"{other.address[0]}:{other.address[1]}"
        server("connect", serial)
        with Adb(ServerConnection(serial)) as adb, adb.start("cat") as session:
            other.stop()
            with pytest.raises(DeviceError):
                session.read(1)
        server("disconnect", serial)
