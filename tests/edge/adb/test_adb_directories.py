"""Whole directories to the device and back: verified, resumed, confined, and nothing left behind."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.adb import directories, staging
from edge.adb.client import Adb
from edge.adb.directories import push_directory
from edge.adb.pulling import pull_directory, pull_file
from edge.adb.sync import Sync
from edge.adb.sync_records import FileStat
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import DeviceError, ProtocolError, UsageError

pytestmark = pytest.mark.device

_NAMES = ("plain", "with space", 'it\'s "quoted" $HOME `id`', "-dash", "Ümläut", "new\nline", "back\\slash", "a" * 255)


@pytest.fixture
def place(request: pytest.FixtureRequest) -> str:
    """A directory of its own on the device, relative to its root."""
    return f"data/local/tmp/{hashlib.sha1(request.node.nodeid.encode()).hexdigest()[:12]}"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with every kind of file that gave somebody trouble."""
    root = tmp_path / "tree"
    for number, name in enumerate(_NAMES):
        folder = root / ("" if number % 2 else f"sub {number}/deep")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(os.urandom(number * 40_000))
    (root / "empty directory").mkdir()
    (root / "plain.sh").write_bytes(b"#!/bin/sh\n")
    (root / "plain.sh").chmod(0o750)
    os.utime(root / "plain.sh", (1_600_000_000, 1_600_000_000))
    return root


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in files}


def test_a_tree_goes_there_and_comes_back_byte_for_byte(adb: Adb, place: str, tree: Path, tmp_path: Path) -> None:
    done = push_directory(adb, tree, place)
    expected = contents(tree)
    assert (done.files, done.sent_files, done.skipped) == (len(expected), len(expected), ())
    assert done.bytes == done.sent_bytes == sum(len(data) for data, _ in expected.values())
    back = pull_directory(adb, place, tmp_path / "back")
    assert contents(tmp_path / "back") == expected
    assert (tmp_path / "back/empty directory").is_dir()
    assert int((tmp_path / "back/plain.sh").stat().st_mtime) == 1_600_000_000
    assert back.sent_files == done.files


def test_what_is_there_already_does_not_travel_again(adb: Adb, place: str, tree: Path, tmp_path: Path) -> None:
    push_directory(adb, tree, place)
    (tree / "plain.sh").write_bytes(b"#!/bin/SH\n")
    again = push_directory(adb, tree, place)
    assert (again.sent_files, again.sent_bytes) == (1, 10)
    pull_directory(adb, place, tmp_path / "back")
    (tmp_path / "back/with space").write_bytes(b"changed")
    back = pull_directory(adb, place, tmp_path / "back")
    assert back.sent_files == 1
    assert contents(tmp_path / "back") == contents(tree)


def test_a_mode_is_set_although_the_content_is_there(adb: Adb, place: str, tree: Path) -> None:
    push_directory(adb, tree, place)
    (tree / "plain.sh").chmod(0o640)
    assert push_directory(adb, tree, place).sent_files == 0
    found = adb.stat(f"{place}/plain.sh")
    assert found is not None
    assert stat.S_IMODE(found.mode) == 0o640


def test_names_that_are_not_utf_8_travel_too(connection, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    try:
        (folder / os.fsdecode(b"latin-\xe9")).write_bytes(b"1")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    push_directory(Adb(connection), folder, place)
    pull_directory(Adb(connection), place, tmp_path / "back")
    assert [os.fsencode(path.name) for path in (tmp_path / "back").iterdir()] == [b"latin-\xe9"]


def test_links_within_the_tree_are_followed_and_others_are_named(connection, place: str, tmp_path: Path) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"outside")
    (folder / "file").write_bytes(b"inside")
    (folder / "inner").symlink_to("file")
    (folder / "outer").symlink_to("../secret")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    done = push_directory(Adb(connection), folder, place)
    assert sorted(Adb(connection).list(place)) == ["file", "inner"]
    assert [line.split(":")[0] for line in done.skipped] == ["loop", "outer", "pipe"]


def test_links_of_the_device_are_not_followed(connection, place: str, tmp_path: Path) -> None:
    adb = Adb(connection)
    adb.check_shell(
        f"mkdir -p {place} && ln -s /etc {place}/etc && ln -s /etc/passwd {place}/passwd && echo x >{place}/x"
    )
    done = pull_directory(adb, place, tmp_path / "back")
    assert [path.name for path in (tmp_path / "back").iterdir()] == ["x"]
    assert len(done.skipped) == 2


@pytest.mark.parametrize("name", ["..", "../escaped", "/etc/escaped", "a\0b"])
def test_a_device_that_names_files_elsewhere_is_not_believed(
    connection, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    adb = Adb(connection)
    adb.push(b"x", f"{place}/x")
    monkeypatch.setattr(Sync, "list", lambda *_: {name: FileStat(0o100644, 1, 0)})
    with pytest.raises(ProtocolError, match="names a file"):
        pull_directory(adb, place, tmp_path / "back")
    assert not (tmp_path / "escaped").exists()
    assert not (tmp_path / "back").exists()


def test_a_local_link_does_not_lead_a_pull_astray(connection, place: str, tmp_path: Path) -> None:
    adb = Adb(connection)
    adb.push(b"x", f"{place}/sub/x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "back").mkdir()
    (tmp_path / "back/sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="symbolic link"):
        pull_directory(adb, place, tmp_path / "back")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_push_that_fails_in_the_middle_leaves_whole_files_and_is_resumed(
    connection, place: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = Adb(connection)
    monkeypatch.setattr(directories, "_BATCH_FILES", 2)
    sent: list[str] = []
    write = Sync._send

    def torn(self: Sync, local: Path, remote: str, *rest: object) -> None:
        sent.append(remote)
        if len(sent) == 6:
            raise DeviceError("the cable was pulled")
        write(self, local, remote, *rest)

    monkeypatch.setattr(Sync, "_send", torn)
    with pytest.raises(DeviceError, match="cable"):
        push_directory(adb, tree, place)
    assert not adb.shell(f"find {place} -name '*.partial'").stdout
    monkeypatch.setattr(Sync, "_send", write)
    assert push_directory(adb, tree, place).sent_files == len(contents(tree)) - 4


def test_what_arrives_changed_is_put_nowhere(
    connection, place: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = Adb(connection)
    write = Sync._send

    def garbled(self: Sync, local: Path, *rest: object) -> None:
        write(self, local.read_bytes()[:-1] + b"?", *rest)

    monkeypatch.setattr(Sync, "_send", garbled)
    with pytest.raises(DeviceError, match="did not arrive whole"):
        push_directory(adb, tree, place)
    assert not adb.shell(f"find {place} -type f").stdout


def test_a_pull_is_compared_with_what_the_device_has(
    connection, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = Adb(connection)
    adb.push(bytes(100_000), f"{place}/x")

    def garbled(self: Sync, remote: str) -> Iterator[bytes]:  # noqa: ARG001  -- the real one's
        yield bytes(99_999) + b"?"

    monkeypatch.setattr(Sync, "read", garbled)
    for pull in (
        lambda: pull_directory(adb, place, tmp_path / "b"),
        lambda: pull_file(adb, f"{place}/x", tmp_path / "c"),
    ):
        with pytest.raises(DeviceError, match="did not arrive whole"):
            pull()
    assert [path.name for path in tmp_path.rglob("*") if "home" not in path.parts] == ["b"]


def test_a_file_is_pulled_once(adb: Adb, place: str, tmp_path: Path) -> None:
    adb.push(b"12345", f"{place}/x", 0o600)
    assert pull_file(adb, f"{place}/x", tmp_path / "x").sent_bytes == 5
    assert pull_file(adb, f"{place}/x", tmp_path / "x").sent_bytes == 0
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600
    with pytest.raises(DeviceError, match="no file"):
        pull_file(adb, f"{place}/absent", tmp_path / "y")


def test_an_interrupted_push_leaves_nothing_although_files_are_on_their_way(
    connection, place: str, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = Adb(connection)
    send = Sync._send

    def interrupted(self: Sync, *rest: object) -> None:
        send(self, *rest)
        if next(calls) == 5:
            raise KeyboardInterrupt

    calls = itertools.count()
    monkeypatch.setattr(Sync, "_send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        push_directory(adb, tree, place)
    deadline = time.monotonic() + 3
    while (left := adb.shell(f"find {place} -name '*.partial'").stdout) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_old_leftovers_of_dead_pushes_go_with_the_next_push_and_nothing_else_does(
    device: EmbeddedDevice, connection, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adb = Adb(connection)
    adb.push_verified(b"1", f"{place}/first")
    left = device.root / place / ".edgecat-0123456789ab.partial"
    foreign = device.root / place / "film.partial"
    for path in (left, foreign):
        (path / "below").mkdir(parents=True)
    adb.push_verified(b"2", f"{place}/second")
    assert left.is_dir()
    # Nobody can make an inode look older than it is: let younger ones count as old.
    monkeypatch.setattr(staging, "_OLD", "-ctime -1")
    adb.push_verified(b"3", f"{place}/third")
    assert not left.exists()
    assert foreign.is_dir()


def test_a_place_that_is_no_directory_is_said_so(connection, place: str, tree: Path, tmp_path: Path) -> None:
    adb = Adb(connection)
    adb.push(b"file", place)
    with pytest.raises(DeviceError, match=r"File exists|Not a directory"):
        push_directory(adb, tree, place)
    with pytest.raises(DeviceError, match="no directory"):
        pull_directory(adb, place, tmp_path / "back")
    with pytest.raises(UsageError, match="absent"):
        push_directory(adb, tree / "absent", place)
