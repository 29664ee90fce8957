"""Memory of a process on a device, and a file out of its page cache."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.devices.memory import PssWatch
from edge.devices.opening import OpenDevice
from edge.devices.page_cache import drop_file

pytestmark = pytest.mark.device

# Takes 30 MB of its own, says so, and goes when its input ends. Its own words are `-c`, this, and the mark.
TAKER = "import sys; taken = b'x' * 30_000_000; print('taken', flush=True); sys.stdin.read()"


def test_what_a_process_takes_is_seen_until_it_ends(phone: OpenDevice) -> None:
    mark = "--model=/a place/of 'its own'"
    with phone.adb.start(f'exec python3 -c "{TAKER}" "{mark}"') as session:
        session.read(6)
        with PssWatch(phone.adb, mark) as watch:
            session.close_stdin()
            assert session.read_some() == b""
    if watch.peak_bytes is None:
        assert not Path("/proc/self/smaps_rollup").exists()
    else:
        assert 30_000_000 < watch.peak_bytes < 80_000_000


def test_of_a_process_that_is_not_there_nothing_is_told(phone: OpenDevice) -> None:
    with PssWatch(phone.adb, "--model=nowhere") as watch:
        pass
    assert watch.peak_bytes is None


def pages(path: Path) -> int:
    return int(subprocess.check_output(["fincore", "-nb", "-o", "pages", path]))


def test_a_file_s_pages_are_dropped(phone: OpenDevice, tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(bytes(1 << 20))
    system = subprocess.run(
        ["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=False
    ).stdout.strip()
    if system in ("", "tmpfs") or not shutil.which("fincore") or not pages(path):
        pytest.skip("nobody here tells what stands in the page cache, or the cache is all there is")
    assert drop_file(phone.adb, str(path), whole_device=False) == "file_dropped"
    assert pages(path) == 0


def test_what_cannot_be_dropped_is_not_said_to_be(phone: OpenDevice, tmp_path: Path) -> None:
    assert drop_file(phone.adb, str(tmp_path / "nowhere"), whole_device=False) is None
