"""What every emulated device must do, whichever road leads to it: the embedded one, the sandboxes and the machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices import isolated
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.information import inspect
from foundation.errors import DeviceError

from .waiting import becomes

pytestmark = pytest.mark.device

SPECS = ["embedded", *isolated.SPECS]
_SMALL = 24 << 20


@dataclass
class Target:
    """A started device.

    Attributes:
        spec: what it is.
        adb: an open connection.
        workdir: where files can be written and run.
        connect: makes another connection.
        pull_plug: ends it without a word.
        slow: a virtual machine, where everything takes its time.
    """

    spec: str
    adb: Adb
    workdir: str
    connect: Callable[[], Adb]
    pull_plug: Callable[[], None]

    @property
    def slow(self) -> bool:
        return self.spec.startswith("vm")


@contextlib.contextmanager
def _started(spec: str, data_bytes: int | None = None) -> Iterator[Target]:
    if spec == "embedded":
        with EmbeddedDevice.start() as device:
            key = HostKey(device.key_path)
            yield from _target(
                spec,
                lambda: Adb(DirectConnection.tcp(*device.address, key)),
                lambda: os.kill(device.pid, signal.SIGKILL),
            )
        return
    reasons = isolated.missing(spec)
    if reasons:
        pytest.skip("; ".join(reasons))
    with isolated.start(spec, isolated.StartOptions(data_bytes=data_bytes)) as machine:
        yield from _target(spec, lambda: Adb(DirectConnection.over(machine.connect(), spec)), machine.kill)


def _target(spec: str, connect: Callable[[], Adb], pull_plug: Callable[[], None]) -> Iterator[Target]:
    with connect() as adb:
        workdir = adb.properties().get("edgecat.workdir", "/data/local/tmp/edgecat")
        adb.check_shell(f"mkdir -p {workdir}")
        yield Target(spec, adb, workdir, connect, pull_plug)


@pytest.fixture(scope="module", params=SPECS)
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    with _started(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def small(target: Target) -> Iterator[Target]:
    """A device of the same kind with little room."""
    if target.spec == "embedded":
        yield target
        return
    with _started(target.spec, _SMALL) as started:
        yield started


def test_a_command_s_exit_code_output_and_errors_come_back_apart(target: Target) -> None:
    result = target.adb.shell("echo out; echo err >&2; exit 37")
    assert (result.exit_code, result.stdout, result.stderr, result.merged) == (37, b"out\n", b"err\n", False)
    assert target.adb.shell("true").exit_code == 0
    assert target.adb.shell("no-such-command-here").exit_code == 127
    assert target.adb.shell("kill -9 $$").exit_code in (137, 255)


def test_a_command_reads_its_input_to_the_end(target: Target) -> None:
    data = bytes(range(256)) * 4096
    result = target.adb.shell("cat", stdin=data)
    assert result.stdout == data
    digest = target.adb.shell("sha256sum", stdin=data).stdout.split()[0].decode()
    assert digest == hashlib.sha256(data).hexdigest()


def test_a_program_is_talked_to_over_its_own_input_and_output(target: Target) -> None:
    with target.adb.start("echo said >&2; exec cat") as session:
        for size in (1, 5, 4096, 100_000):
            message = os.urandom(size)
            session.write(message)
            assert session.read(size) == message
        session.close_stdin()
        assert session.read_some() == b""
        assert session.exit_code == 0
        assert session.stderr == b"said\n"


def test_closing_a_session_ends_its_command(target: Target) -> None:
    marker = f"{target.workdir}/lives"
    with target.adb.start(f"echo on; echo $$ > {marker}.new; mv {marker}.new {marker}; while sleep 0.05; do :; done"):
        assert becomes(lambda: target.adb.stat(marker) is not None)
        pid = int(target.adb.check_shell(f"cat {marker}").decode())
        assert target.adb.shell(f"kill -0 {pid}").exit_code == 0
    # By itself: a command that is killed outright runs no trap that could tell of it.
    assert becomes(lambda: target.adb.shell(f"kill -0 {pid}").exit_code != 0, within=20)


def test_files_go_there_and_come_back(target: Target, tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    remote = f"{target.workdir}/box/file"
    target.adb.push(content, remote, 0o755)
    found = target.adb.stat(remote)
    assert found is not None
    # Of the mode, Android's adbd gives group and others what the owner has.
    assert (found.size, found.mode & 0o700) == (len(content), 0o700)
    target.adb.pull(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert set(target.adb.list(f"{target.workdir}/box")) == {"file"}
    target.adb.remove(f"{target.workdir}/box")
    assert target.adb.stat(remote) is None
    assert target.adb.stat(f"{target.workdir}/box") is None


def test_a_verified_push_sends_the_same_content_once(target: Target) -> None:
    content = os.urandom(200_000)
    remote = f"{target.workdir}/verified"
    assert target.adb.push_verified(content, remote)
    assert not target.adb.push_verified(content, remote)
    assert target.adb.sha256(remote) == hashlib.sha256(content).hexdigest()
    assert target.adb.push_verified(content + b"more", remote)
    assert [name for name in target.adb.list(target.workdir) if "verified" in name] == ["verified"]


def test_what_was_pushed_can_be_run(target: Target) -> None:
    script = f"{target.workdir}/script"
    target.adb.push(b"#!/bin/sh\necho ran $1\n", script, 0o755)
    assert target.adb.check_shell(f"{script} well") == b"ran well\n"


def test_it_says_what_it_is_and_never_passes_for_a_phone(target: Target) -> None:
    info = inspect(target.adb, target.spec)
    kind, _, abi = target.spec.partition(":")
    assert info.kind == ("embedded" if kind == "embedded" else "emulated")
    if abi:
        assert info.abi == abi
        assert info.os_version == "14"
        assert info.model == f"edgecat {kind} {abi}"
        assert target.adb.check_shell("getprop ro.build.version.sdk") == b"34\n"
        assert target.adb.check_shell("uname -m").decode().strip() == {"arm64-v8a": "aarch64"}.get(abi, abi)
    assert target.adb.properties()["edgecat.kind"] == kind
    assert target.adb.check_shell("getprop no.such.thing; getprop no.such.thing other") in (b"\nother\n", b"\n\n")


def test_many_threads_use_one_connection_and_nothing_is_lost(target: Target) -> None:
    threads, each = (3, 3) if target.slow else (8, 10)

    def work(number: int) -> list[bytes]:
        return [target.adb.check_shell(f"echo {number}-{turn}") for turn in range(each)]

    with ThreadPoolExecutor(threads) as pool:
        answers = [answer for answers in pool.map(work, range(threads)) for answer in answers]
    assert answers == [f"{number}-{turn}\n".encode() for number in range(threads) for turn in range(each)]


def test_connections_of_several_hosts_stand_side_by_side(target: Target) -> None:
    with target.connect() as second, target.connect() as third:
        second.push(b"seen by all", f"{target.workdir}/note")
        assert third.check_shell(f"cat {target.workdir}/note") == b"seen by all"
        assert target.adb.shell("true").exit_code == 0


@pytest.mark.parametrize("service", ["localabstract:nobody-here", "tcp:1", "no-such-service:"])
def test_a_refusal_is_seen_at_once(target: Target, service: str) -> None:
    begun = time.monotonic()
    with pytest.raises(DeviceError):
        target.adb.open(service).receive(1)
    assert time.monotonic() - begun < 1


def test_a_read_only_target_says_so(target: Target) -> None:
    reason = "outside" if target.spec == "embedded" else "Read-only file system|Permission denied|[Rr]ead-only"
    with pytest.raises(DeviceError, match=reason):
        target.adb.push(b"x", "/system/bin/intruder")
    with pytest.raises(DeviceError, match=reason):
        target.adb.push_verified(b"x", "/system/bin/intruder")


def test_a_full_disk_says_so_and_leaves_nothing(small: Target) -> None:
    if small.spec == "embedded":
        pytest.skip("its disk is this computer's; tests/edge/devices/test_embedded_device.py limits it otherwise")
    remote = f"{small.workdir}/model"
    small.adb.push_verified(b"the old one", remote)
    with pytest.raises(DeviceError, match=r"(?i)no space left"):
        small.adb.push_verified(bytes(_SMALL), remote)
    assert set(small.adb.list(small.workdir)) == {"model"}
    assert small.adb.check_shell(f"cat {remote}") == b"the old one"
    small.adb.push_verified(bytes(4 << 20), remote)


def test_adbd_that_dies_is_noticed_and_started_again(small: Target) -> None:
    if small.spec == "embedded":
        pytest.skip("there it is the device itself that dies")
    with small.connect() as adb, adb.start("echo $$; exec cat") as session:
        session.read_some()
        began = time.monotonic()
        with contextlib.suppress(DeviceError):
            adb.shell("pkill -9 adbd")
        with pytest.raises(DeviceError):
            session.read(1)
        assert time.monotonic() - began < (3 if small.slow else 1)
    # A machine's port answers before its adbd does.
    assert becomes(lambda: _answers(small), 10)


def test_a_device_that_dies_is_noticed_by_all_who_wait(small: Target) -> None:
    with small.connect() as adb:
        sessions = [adb.start("echo on; exec cat") for _ in range(2)]
        for session in sessions:
            session.read(3)
        noticed: list[float] = []

        def wait(number: int) -> None:
            with pytest.raises(DeviceError):
                sessions[number].read(1)
            noticed.append(time.monotonic())

        waiting = [threading.Thread(target=wait, args=(number,)) for number in range(2)]
        for thread in waiting:
            thread.start()
        died = time.monotonic()
        small.pull_plug()
        for thread in waiting:
            thread.join(10)
        assert len(noticed) == 2
        assert max(noticed) - died < 1
        with pytest.raises(DeviceError):
            adb.shell("true")
    with pytest.raises(DeviceError):
        small.connect()


def _answers(target: Target) -> bool:
    try:
        with target.connect() as adb:
            return adb.shell("echo again").stdout == b"again\n"
    except DeviceError:
        return False
