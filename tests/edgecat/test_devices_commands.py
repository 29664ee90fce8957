"""`edgecat devices pair|connect|disconnect|push|pull` as a user meets them."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.adb.program import find_adb

from .command_line import CommandLine
from .conftest import free_port

pytestmark = [pytest.mark.device, pytest.mark.usefixtures("emulator")]

_SPEC = "emulator:shared"


def test_a_directory_goes_to_a_device_and_comes_back(edgecat: CommandLine, tmp_path: Path) -> None:
    tree = tmp_path / "my files"
    (tree / "below").mkdir(parents=True)
    (tree / "below/run.sh").write_bytes(b"#!/bin/sh\n")
    (tree / "below/run.sh").chmod(0o755)
    (tree / "data").write_bytes(os.urandom(100_000))
    (tree / "link").symlink_to("/etc/passwd")
    pushed = edgecat("devices", "push", tree, "--device", _SPEC, "--json")
    document = pushed.document()
    assert document.items() >= {"files": 2, "sent_files": 2, "bytes": 100_010, "device": _SPEC}.items()
    assert document["path"].endswith("/edgecat/my files")
    assert document["skipped"] == ["link: a link that leads to no file of the tree"]
    assert "skipped link" in pushed.stderr
    assert edgecat("devices", "push", tree, "--device", _SPEC, "--json").document()["sent_files"] == 0
    back = edgecat("devices", "pull", document["path"], tmp_path / "back", "--device", _SPEC)
    assert "2 of 2 files travelled" in back.stdout
    assert (tmp_path / "back/data").read_bytes() == (tree / "data").read_bytes()
    assert stat.S_IMODE((tmp_path / "back/below/run.sh").stat().st_mode) == 0o755


def test_a_file_goes_to_a_device_and_comes_back_under_its_own_name(edgecat: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a file").write_bytes(b"content")
    document = edgecat("devices", "push", tmp_path / "a file", "--device", _SPEC, "--json").document()
    assert document.items() >= {"files": 1, "sent_bytes": 7}.items()
    pulled = edgecat("devices", "pull", document["path"], "--device", _SPEC, "--json").document()
    assert pulled["path"] == "a file"
    assert (edgecat.directory / "a file").read_bytes() == b"content"


def test_what_is_not_there_is_one_line(edgecat: CommandLine) -> None:
    assert "no such file" in edgecat("devices", "push", "absent", "--device", _SPEC).refusal(2)
    assert "no file" in edgecat("devices", "pull", "absent", "--device", _SPEC).refusal(3)


def test_pairing_without_a_terminal_wants_the_code(edgecat: CommandLine) -> None:
    assert "no pairing code" in edgecat("devices", "pair", "192.168.1.20:37123").refusal(2)
    assert "no address" in edgecat("devices", "pair", "192.168.1.20", "123456").refusal(2)
    assert "no address" in edgecat("devices", "connect", "a b").refusal(2)


@pytest.fixture
def adb_server_port(tmp_path: Path) -> Iterator[str]:
    """Where a real adb server without any device listens."""
    adb, port = find_adb(), str(free_port())
    settings = {"HOME": str(tmp_path), "ADB_MDNS": "0", "ADB_MDNS_OPENSCREEN": "0"}
    # Else it looks for emulators of Android Studio.
    environment = os.environ | settings | {"ADB_LOCAL_TRANSPORT_MAX_PORT": "5553"}
    command = [str(adb), "-P", port]
    subprocess.run([*command, "start-server"], env=environment, capture_output=True, check=True, timeout=20)
    yield port
    subprocess.run([*command, "kill-server"], env=environment, capture_output=True, check=True, timeout=20)


@pytest.mark.adb_client
def test_phones_are_connected_through_a_server_that_runs(edgecat: CommandLine, adb_server_port: str) -> None:
    server = {"ANDROID_ADB_SERVER_PORT": adb_server_port}
    assert "cannot connect" in edgecat("devices", "connect", "127.0.0.1:1", "--json", **server).refusal(3)
    assert "not connected" in edgecat("devices", "disconnect", "127.0.0.1:1", **server).refusal(3)
    told = edgecat("devices", "push", "/dev/null", "--device", "serial:R58M", **server).refusal(3)
    assert "'R58M' not found" in told
    assert "there are: none" in told
