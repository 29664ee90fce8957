"""Files to and from the device, over both roads and in both versions of the service."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.stream import Stream
from edge.adb.sync import Sync
from edge.adb.sync_records import FileStat, request
from foundation.errors import DeviceError, UsageError
from foundation.progress import Advance

pytestmark = pytest.mark.device

_SIZES = (0, 1, 65_535, 65_536, 65_537, 8 << 20)


class Hiding:
    """A connection that hides features, and may change what goes to the device."""

    def __init__(self, adb: Adb, hidden: frozenset[str]) -> None:
        self.serial = adb.serial
        self.features = adb.connection.features - hidden
        self.alive = True
        self._adb = adb

    def open(self, service: str) -> Stream:
        return self._adb.open(service)

    def close(self) -> None:
        self._adb.close()


@pytest.fixture(params=["v1", "v2"])
def either(request: pytest.FixtureRequest, adb: Adb) -> Adb:
    hidden = frozenset({"stat_v2", "ls_v2", "sendrecv_v2"}) if request.param == "v1" else frozenset()
    return Adb(Hiding(adb, hidden))


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A directory of its own on the device, relative to its root."""
    return f"data/local/tmp/{hashlib.sha1(request.node.nodeid.encode()).hexdigest()[:12]}"


def test_requests_have_these_bytes() -> None:
    assert request(b"SEND", "a/b,33188") == b"SEND\x09\x00\x00\x00a/b,33188"
    assert FileStat(0o100644, 5, 7).pack_1() == b"\xa4\x81\x00\x00\x05\x00\x00\x00\x07\x00\x00\x00"
    record = FileStat(0o100644, 1 << 33, 7, 0).pack_2()
    assert len(record) == 68
    assert record[:4] == bytes(4)
    assert record[20:24] == b"\xa4\x81\x00\x00"
    assert record[36:44] == (1 << 33).to_bytes(8, "little")
    assert FileStat.unpack_2(record) == FileStat(0o100644, 1 << 33, 7)


@pytest.mark.parametrize("size", _SIZES)
def test_files_of_every_size_come_back_byte_for_byte(either: Adb, place: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "there").write_bytes(os.urandom(size))
    either.push(tmp_path / "there", f"{place}/deep/er/file.bin")
    either.pull(f"{place}/deep/er/file.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


def test_a_pushed_file_has_its_mode_and_its_time(either: Adb, place: str, tmp_path: Path) -> None:
    local = tmp_path / "run"
    local.write_bytes(b"#!/bin/sh\necho it runs\n")
    os.utime(local, (1_700_000_000, 1_700_000_000))
    either.push(local, f"{place}/run", 0o750)
    found = either.stat(f"{place}/run")
    assert found is not None
    assert (stat.S_IMODE(found.mode), found.size, found.mtime) == (0o750, 23, 1_700_000_000)
    assert either.shell(f"{place}/run").stdout == b"it runs\n"


def test_what_is_not_there_has_no_stat(either: Adb, place: str) -> None:
    assert either.stat(f"{place}/absent") is None


def test_a_directory_is_listed_by_name(either: Adb, place: str) -> None:
    names = {"plain", "with space", "Ümläut", "-dash", "quote'\"$"}
    for name in names:
        either.push(b"12345", f"{place}/list/{name}")
    either.shell(f"mkdir {place}/list/sub")
    found = either.list(f"{place}/list")
    assert set(found) == names | {"sub"}
    assert found["sub"].is_directory
    assert found["plain"].size == 5
    assert either.list(f"{place}/absent") == {}


def test_the_device_s_words_come_with_an_error(either: Adb, place: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="No such file"):
        either.pull(f"{place}/absent", tmp_path / "absent")
    with pytest.raises(DeviceError, match="outside this embedded device"):
        either.push(b"x", "/etc/edgecat-must-not-appear")
    either.push(b"file", f"{place}/file")
    with pytest.raises(DeviceError, match=r"Not a directory|File exists"):
        either.push(b"x" * (2 << 20), f"{place}/file/below")


def test_one_stream_goes_on_after_a_failed_push(adb: Adb, place: str) -> None:
    with Sync(adb.connection) as sync:
        with pytest.raises(DeviceError):
            sync.push(bytes(3 << 20), "/outside")
        sync.push(b"fine", f"{place}/fine")
        found = sync.stat(f"{place}/fine")
    assert found is not None
    assert found.size == 4


def test_a_failed_pull_leaves_the_local_file_as_it_was(adb: Adb, place: str, tmp_path: Path) -> None:
    local = tmp_path / "kept"
    local.write_bytes(b"old")
    with pytest.raises(DeviceError):
        adb.pull(f"{place}/absent", local)
    assert local.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["kept"]


def test_a_local_file_that_cannot_be_read_is_a_usage_error(adb: Adb, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="absent"):
        adb.push(tmp_path / "absent", "x")
    with pytest.raises(UsageError, match="absent"):
        adb.push_verified(tmp_path / "absent", "x")


def test_progress_is_told_of_every_byte(adb: Adb, place: str, tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.totals: list[float | None] = []
            self.steps = 0.0

        @contextmanager
        def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
            self.totals.append(total)

            def advance(steps: float = 1, note: str = "") -> None:  # noqa: ARG001  -- the protocol's
                self.steps += steps

            yield advance

        def say(self, message: str) -> None:
            pass

    progress = Counting()
    adb.push(bytes(300_000), f"{place}/file", progress=progress)
    assert progress.totals == [300_000]
    assert 300_000 <= progress.steps < 300_100
    progress.steps = 0
    adb.pull(f"{place}/file", tmp_path / "file", progress)
    assert progress.steps == 300_000


def test_a_verified_push_sends_once_and_is_whole(adb: Adb, place: str) -> None:
    data = os.urandom(300_000)
    remote = f"{place}/it's a model.tflite"
    assert adb.push_verified(data, remote, 0o640) is True
    assert adb.push_verified(data, remote, 0o755) is False
    found = adb.stat(remote)
    assert found is not None
    assert (stat.S_IMODE(found.mode), found.size) == (0o755, 300_000)
    assert adb.sha256(remote) == hashlib.sha256(data).hexdigest()
    assert adb.push_verified(data[::-1], remote) is True
    assert adb.sha256(remote) == hashlib.sha256(data[::-1]).hexdigest()
    assert set(adb.list(place)) == {"it's a model.tflite"}


def test_what_arrives_changed_is_not_put_in_its_place(adb: Adb, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adb.push_verified(b"the one that runs", f"{place}/model")
    push = Adb.push

    def torn(self: Adb, local: bytes, remote: str, *_: object) -> None:
        push(self, local[:-1] + b"?", remote)

    monkeypatch.setattr(Adb, "push", torn)
    with pytest.raises(DeviceError, match="did not arrive whole"):
        adb.push_verified(b"the next one", f"{place}/model")
    assert adb.check_shell(f"cat {place}/model") == b"the one that runs"
    assert set(adb.list(place)) == {"model"}


def test_a_directory_in_the_way_of_a_verified_push_is_an_error(adb: Adb, place: str) -> None:
    adb.check_shell(f"mkdir -p {place}/model/inside")
    with pytest.raises(DeviceError):
        adb.push_verified(b"x", f"{place}/model")
    assert set(adb.list(f"{place}/model")) == {"inside"}


def test_remove_takes_files_and_directories_and_what_is_not_there(adb: Adb, place: str) -> None:
    adb.push(b"x", f"{place}/a/b/c")
    adb.remove(f"{place}/a")
    adb.remove(f"{place}/a")
    assert adb.list(place) == {}
