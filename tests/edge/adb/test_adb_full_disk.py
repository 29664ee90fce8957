"""Devices that have no room, or may not be written: what is said, and what is left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.directories import push_directory
from edge.adb.keys import HostKey, make_key
from edge.adb.lease import Lease
from edge.adb.staging import free_bytes
from edge.devices import isolated
from edge.devices.embedded.launch import public_key, wait_for_start
from foundation.cache import cache_directory
from foundation.errors import DeviceError

pytestmark = pytest.mark.device

_CACHE = str(cache_directory())
_SIZE = 3 << 20


@dataclass
class Small:
    """A device with a small disk; `place` is a directory on it. What stands in `read_only` after `remount` is that."""

    adb: Adb
    place: str
    read_only: str
    remount: str


@pytest.fixture(params=["embedded", "sandbox:x86_64"])
def small(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Small]:
    """The embedded device, and the real adbd: each has its own words for what went wrong."""
    if request.param == "embedded":
        with _small_embedded(tmp_path) as adb:
            yield Small(adb, "x", "x", "mkdir x && mount -o remount,ro .")
        return
    monkeypatch.setenv("EDGECAT_CACHE_DIR", _CACHE)
    if reasons := isolated.missing(request.param):
        pytest.skip("; ".join(reasons))
    with (
        isolated.start(request.param, isolated.StartOptions(data_bytes=_SIZE)) as sandbox,
        Adb(DirectConnection.over(sandbox.connect(), "sandbox")) as adb,
    ):
        yield Small(adb, "/data/local/tmp/x", "/system", "true")


@contextmanager
def _small_embedded(tmp_path: Path) -> Iterator[Adb]:
    """An embedded device on a disk of its own, in a mount namespace."""
    probe = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no unprivileged mount namespaces here")
    root, log = tmp_path / "root", tmp_path / "log"
    root.mkdir()
    key = make_key(tmp_path / "key").path
    words = [sys.executable, "-m", "edge.devices.embedded", "--root", str(root), "--port", "0", "--serial", "small"]
    start = shlex.join([*words, "--key", str(public_key(key, tmp_path))])
    script = f"mount -t tmpfs -o size={_SIZE} none {shlex.quote(str(root))} && exec {start}"
    process = subprocess.Popen(
        [*probe[:4], "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log.open("wb"),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        start_new_session=True,
    )
    try:
        port = wait_for_start(process, log, 20).port
        with Adb(DirectConnection.tcp("127.0.0.1", port, HostKey(key))) as adb:
            yield adb
    finally:
        process.kill()
        process.communicate()


def test_a_full_disk_is_told_with_what_is_free_and_nothing_is_left(small: Small) -> None:
    adb, place = small.adb, small.place
    adb.check_shell(f"mkdir -p {place}")
    free = free_bytes(adb, place)
    assert free is not None
    assert 0 < free <= _SIZE
    with pytest.raises(DeviceError, match=r"no space left in .*x: 4,194,304 bytes .* [\d,]+ bytes are free"):
        adb.push_verified(bytes(4 << 20), f"{place}/model")
    assert adb.list(place) == {}
    assert free_bytes(adb, place) == free
    assert adb.push_verified(bytes(1 << 20), f"{place}/model")


def test_a_full_disk_leaves_the_old_file_and_whole_files_of_a_directory(small: Small, tmp_path: Path) -> None:
    adb, place = small.adb, small.place
    adb.push_verified(b"old", f"{place}/b")
    (tmp_path / "tree").mkdir()
    for name, size in {"a": 1000, "b": 4 << 20}.items():
        (tmp_path / "tree" / name).write_bytes(os.urandom(size))
    with pytest.raises(DeviceError, match="no space left") as caught:
        push_directory(adb, tmp_path / "tree", place)
    assert "remove" in (caught.value.hint or "")
    assert adb.check_shell(f"cat {place}/b") == b"old"
    assert not adb.shell(f"find {place} -name '*.partial'").stdout
    (tmp_path / "tree" / "b").write_bytes(b"smaller")
    push_directory(adb, tmp_path / "tree", place)
    assert adb.check_shell(f"cat {place}/b") == b"smaller"


def test_a_file_system_that_is_read_only_is_said_so(small: Small, tmp_path: Path) -> None:
    adb, place = small.adb, small.read_only
    adb.check_shell(small.remount)
    (tmp_path / "tree").mkdir()
    for push in (
        lambda: adb.push_verified(b"x", f"{place}/model"),
        lambda: push_directory(adb, tmp_path / "tree", place),
        lambda: Lease.take(adb, place),
    ):
        with pytest.raises(DeviceError, match="file system is read-only") as caught:
            push()
        assert "/data/local/tmp" in (caught.value.hint or "")
