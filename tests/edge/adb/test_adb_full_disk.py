"""Devices that have no room, or may not be written: what is said, and what is left behind."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.directories import push_directory
from edge.adb.keys import HostKey, make_key
from edge.adb.lease import Lease
from edge.adb.staging import free_bytes
from edge.devices.embedded.launch import public_key, wait_for_start
from foundation.errors import DeviceError

pytestmark = pytest.mark.device

_SIZE = 3 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Adb]:
    """An embedded device on a disk of 3 MiB, in a mount namespace of its own."""
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


def test_a_full_disk_is_told_with_what_is_free_and_nothing_is_left(small: Adb) -> None:
    free = free_bytes(small, ".")
    assert free is not None
    assert 0 < free <= _SIZE
    with pytest.raises(
        DeviceError, match=r"no space left in x: 4,194,304 bytes were to go there, [\d,]+ bytes are free"
    ):
        small.push_verified(bytes(4 << 20), "x/model")
    assert small.list("x") == {}
    assert free_bytes(small, ".") == free
    assert small.push_verified(bytes(1 << 20), "x/model")


def test_a_full_disk_leaves_the_old_file_and_whole_files_of_a_directory(small: Adb, tmp_path: Path) -> None:
    small.push_verified(b"old", "x/b")
    (tmp_path / "tree").mkdir()
    for name, size in {"a": 1000, "b": 4 << 20}.items():
        (tmp_path / "tree" / name).write_bytes(os.urandom(size))
    with pytest.raises(DeviceError, match="no space left") as caught:
        push_directory(small, tmp_path / "tree", "x")
    assert "remove" in (caught.value.hint or "")
    assert small.check_shell("cat x/b") == b"old"
    assert not small.shell("find . -name '*.partial'").stdout
    (tmp_path / "tree" / "b").write_bytes(b"smaller")
    push_directory(small, tmp_path / "tree", "x")
    assert small.check_shell("cat x/b") == b"smaller"


def test_a_file_system_that_is_read_only_is_said_so(small: Adb, tmp_path: Path) -> None:
    small.check_shell("mkdir x && mount -o remount,ro .")
    (tmp_path / "tree").mkdir()
    for push in (
        lambda: small.push_verified(b"x", "x/model"),
        lambda: push_directory(small, tmp_path / "tree", "x"),
        lambda: Lease.take(small, "x"),
    ):
        with pytest.raises(DeviceError, match="file system is read-only") as caught:
            push()
        assert "/data/local/tmp" in (caught.value.hint or "")
