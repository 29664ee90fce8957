"""Bad cables and dying devices: an error within a second, nothing left behind, and the next push works."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.adb import lease
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.directories import push_directory
from edge.adb.keys import HostKey, make_key
from edge.adb.lease import Lease
from edge.adb.messages import HEADER
from edge.adb.pulling import pull_file
from edge.adb.staging import Staging
from edge.adb.starting import connect_when_started
from edge.adb.stream import Connection
from edge.devices import isolated
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.cache import cache_directory
from foundation.errors import DeviceError, ProtocolError

from .faulty_road import Direction, FaultyRoad

pytestmark = pytest.mark.device

_CACHE = str(cache_directory())
_MARK = b"this is where a bit falls over"


@dataclass
class Target:
    """A device of a test's own.

    Attributes:
        dial: gives a socket to its adb.
        key: that it lets in; None where it asks for none.
        place: a directory there.
        kill: kills its adb's process.
    """

    dial: Callable[[], socket.socket]
    key: HostKey | None
    place: str
    kill: Callable[[], None]

    def connect(self) -> Connection:
        return DirectConnection.over(self.dial(), "device", self.key)


@pytest.fixture(params=["embedded", "sandbox:x86_64"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The embedded device, and the real adbd: each dies in its own way."""
    place = f"data/local/tmp/{secrets.token_hex(4)}"
    if request.param == "embedded":
        key = make_key(tmp_path / "host-key")
        devices = [EmbeddedDevice.start(tmp_path / "device", key=key.path)]

        def kill() -> None:
            # Killed, not stopped; then there is another one with the same files, as after a reboot.
            os.kill(devices[-1].pid, signal.SIGKILL)
            devices.append(EmbeddedDevice.start(tmp_path / "device", key=key.path))

        yield Target(lambda: socket.create_connection(devices[-1].address), key, place, kill)
        for device in devices:
            device.stop()
        return
    monkeypatch.setenv("EDGECAT_CACHE_DIR", _CACHE)
    if reasons := isolated.missing(request.param):
        pytest.skip("; ".join(reasons))
    with isolated.start(request.param) as sandbox:
        yield Target(sandbox.connect, None, place, sandbox.kill_adbd)


@pytest.fixture
def by(target: Target) -> Iterator[Callable[..., tuple[Adb, FaultyRoad]]]:
    """Connect by a bad road."""
    opened: list[tuple[Adb, FaultyRoad]] = []

    def connect(up: Direction | None = None, down: Direction | None = None) -> tuple[Adb, FaultyRoad]:
        road = FaultyRoad(target.dial(), up, down)
        try:
            adb = Adb(DirectConnection.over(road.host, "bad road", target.key))
        except BaseException:
            road.close()
            raise
        opened.append((adb, road))
        return adb, road

    yield connect
    for adb, road in opened:
        adb.close()
        road.close()


@contextmanager
def fails_within(seconds: float, since: Callable[[], float]) -> Iterator[None]:
    """A DeviceError that comes at most so long after the fault, and leaves nobody spinning."""
    with pytest.raises(DeviceError):
        yield
    assert time.monotonic() - since() < seconds
    spent = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - spent < 0.1


def left(target: Target, within: float = 2.0) -> str:
    """What stands below the target's place that is no whole file, after what tidies up had its time."""
    with Adb(target.connect()) as adb:
        deadline = time.monotonic() + within
        while True:
            found = adb.shell(f"find {target.place} -name '*partial*'").stdout.decode()
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.02)


def test_a_slow_road_of_tiny_chunks_carries_everything(by, target: Target, tmp_path: Path) -> None:
    adb, _ = by(Direction(chunk=7, pause=0.0001), Direction(chunk=5, pause=0.0001))
    data = os.urandom(5000)
    assert adb.push_verified(data, f"{target.place}/file")
    pull_file(adb, f"{target.place}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == data
    assert adb.shell("echo out; echo err >&2; exit 7").exit_code == 7


def test_a_throttled_push_takes_its_time_and_no_processor(by, target: Target) -> None:
    # 4 MiB at 4 MiB/s.
    adb, _ = by(Direction(chunk=1 << 15, pause=1 / 128))
    spent = time.process_time()
    assert adb.push_verified(os.urandom(4 << 20), f"{target.place}/file")
    assert time.process_time() - spent < 0.6


@pytest.mark.parametrize("after", [1, HEADER.size - 1, HEADER.size, HEADER.size + 10, 5000, 300_000])
@pytest.mark.parametrize("way", ["up", "down"])
def test_a_road_cut_in_the_middle_of_a_message_is_noticed(by, way: str, after: int) -> None:
    adb, road = by()
    cut: list[float] = []
    with adb.start("cat") as session:
        direction: Direction = getattr(road, way)
        direction.change = lambda data: (cut.append(time.monotonic()), data)[1]
        direction.cut_after = direction.passed + after
        with fails_within(1, lambda: cut[-1]):
            session.write(bytes(1 << 20))
            session.read(1 << 20)
            session.read(1)
    assert not adb.connection.alive
    with pytest.raises(DeviceError):
        adb.shell("true")


@pytest.mark.parametrize("how", ["cut", "killed"])
def test_a_push_that_dies_in_the_middle_leaves_nothing_and_the_next_one_works(by, target: Target, how: str) -> None:
    adb, road = by(Direction(chunk=1 << 15, pause=1 / 1000))
    adb.push_verified(b"old", f"{target.place}/model")
    data = os.urandom(16 << 20)
    died: list[float] = []

    def die() -> None:
        while road.up.passed < 4 << 20:
            time.sleep(0.002)
        died.append(time.monotonic())
        road.cut() if how == "cut" else target.kill()

    killer = threading.Thread(target=die)
    killer.start()
    with fails_within(1, lambda: died[0]):
        adb.push_verified(data, f"{target.place}/model")
    killer.join(30)
    with connect_when_started(target.connect, 10) as again:
        assert again.check_shell(f"cat {target.place}/model") == b"old"
    assert left(target) == ""
    with Adb(target.connect()) as again:
        assert again.push_verified(data, f"{target.place}/model")
        assert again.sha256(f"{target.place}/model") == hashlib.sha256(data).hexdigest()
        assert set(again.list(target.place)) == {"model"}


def test_a_directory_push_that_is_cut_goes_on_where_it_was(
    by, target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.adb.directories._BATCH_BYTES", 1 << 20)
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(16):
        (tree / f"file {number}").write_bytes(os.urandom(500_000))
    adb, road = by(Direction(cut_after=5_000_000))
    with pytest.raises(DeviceError):
        push_directory(adb, tree, target.place)
    assert road.up.passed > 4_000_000
    assert left(target) == ""
    with Adb(target.connect()) as again:
        done = push_directory(again, tree, target.place)
        assert 4 <= done.sent_files <= 12
        assert {name: found.size for name, found in again.list(target.place).items()} == {
            path.name: 500_000 for path in tree.iterdir()
        }


def test_pushes_side_by_side_do_not_sweep_each_other_away(target: Target) -> None:
    with Adb(target.connect()) as adb, Staging(adb, target.place) as other:
        time.sleep(1.1)
        adb.push_verified(b"x", f"{target.place}/model")
        assert set(adb.list(target.place)) == {"model", Path(other.path).name}


@pytest.mark.parametrize("how", ["cut", "killed"])
def test_a_lease_ends_when_the_cable_or_adb_does(by, target: Target, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adb, road = by()
    Lease.take(adb, target.place)
    # From here on we are another process.
    monkeypatch.setattr(lease, "_token", (os.getpid(), "0123456789abcdef"))
    with Adb(target.connect()) as other, pytest.raises(DeviceError, match="in use"):
        Lease.take(other, target.place)
    begun = time.monotonic()
    road.cut() if how == "cut" else target.kill()
    with connect_when_started(target.connect, 10) as other:
        while time.monotonic() - begun < 2:
            try:
                Lease.take(other, target.place).release()
                break
            except DeviceError:
                time.sleep(0.02)
        assert time.monotonic() - begun < (1 if how == "cut" else 2)
        assert other.list(target.place) == {}


def test_bytes_that_are_no_message_break_the_protocol(by, target: Target) -> None:
    adb, road = by()
    # The magic of the next header that the device sends.
    road.down.change = lambda data: data[:23] + bytes([data[23] ^ 1]) + data[24:] if len(data) >= 24 else data
    with pytest.raises(ProtocolError, match="magic"):
        adb.shell("true")
    with Adb(target.connect()) as again:
        assert again.shell("echo fine").stdout == b"fine\n"


def test_a_bit_that_falls_over_in_a_push_is_found_out(by, target: Target) -> None:
    adb, road = by()
    adb.push_verified(b"old", f"{target.place}/model")
    road.up.change = lambda data: data.replace(_MARK, _MARK[::-1], 1)
    data = os.urandom(1 << 20) + _MARK * 20 + os.urandom(1 << 20)
    with pytest.raises(DeviceError, match="did not arrive whole"):
        adb.push_verified(data, f"{target.place}/model")
    assert adb.check_shell(f"cat {target.place}/model") == b"old"
    assert set(adb.list(target.place)) == {"model"}
    road.up.change = lambda data: data
    assert adb.push_verified(data, f"{target.place}/model")


def test_a_bit_that_falls_over_in_a_pull_is_found_out(by, target: Target, tmp_path: Path) -> None:
    adb, road = by()
    adb.push_verified(os.urandom(100_000) + _MARK * 20, f"{target.place}/model")
    (tmp_path / "model").write_bytes(b"old")
    road.down.change = lambda data: data.replace(_MARK, _MARK[::-1], 1)
    with pytest.raises(DeviceError, match="did not arrive whole"):
        pull_file(adb, f"{target.place}/model", tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b"old"


def test_a_garbled_sync_record_ends_the_push_and_leaves_nothing(by, target: Target) -> None:
    adb, road = by()
    road.up.change = lambda data: data.replace(b"DATA", b"DATX", 1)
    with pytest.raises(DeviceError):
        adb.push_verified(bytes(200_000), f"{target.place}/model")
    road.up.change = lambda data: data
    assert left(target) == ""
    with Adb(target.connect()) as again:
        assert again.push_verified(bytes(200_000), f"{target.place}/model")
