"""Images on disk: what comes out is what went in, memory stays flat, a full disk loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from victims_in_process import numbered_images

from attack.spool import ImageSpool
from foundation.errors import DataError, ExitCode, UsageError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[ImageSpool]:
    with ImageSpool(tmp_path) as opened:
        yield opened


@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(0, 9), max_size=8))
def test_images_come_back_in_order_however_they_were_cut(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int]
) -> None:
    with ImageSpool(tmp_path_factory.getbasetemp()) as spool:
        for number, count in enumerate(counts):
            spool.append(numbered_images(count, sum(counts[:number]), (5, 3, 2)))
            assert len(spool) == len(spool.images) == sum(counts[: number + 1])
        if len(spool):
            assert np.array_equal(spool.images, numbered_images(sum(counts), 0, (5, 3, 2)))


def test_a_view_stays_as_it_was_and_cannot_be_written(spool: ImageSpool) -> None:
    spool.append(numbered_images(4))
    before = spool.images
    spool.append(numbered_images(3, 4))
    assert np.array_equal(before, numbered_images(4))
    assert len(spool.images) == 7
    with pytest.raises(ValueError, match="read-only"):
        spool.images[0] = 0
    spool.close()
    assert np.array_equal(before, numbered_images(4))


def test_images_may_be_a_view_of_others_and_of_the_spool_itself(spool: ImageSpool) -> None:
    images = numbered_images(10)
    spool.append(images[::-2])
    spool.append(spool.images[1:3])
    assert np.array_equal(spool.images, images[[9, 7, 5, 3, 1, 7, 5]])


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16, 1), np.float32), np.zeros((16, 16, 1), np.uint8)],
)
def test_images_of_another_kind_are_refused(spool: ImageSpool, images: np.ndarray) -> None:  # type: ignore[type-arg]
    spool.append(numbered_images(2))
    with pytest.raises(DataError, match=r"where uint8 \(N, 16, 16, 1\) are due"):
        spool.append(images)
    assert np.array_equal(spool.images, numbered_images(2))


def test_nothing_is_left_in_the_directory_even_by_a_killed_process(tmp_path: Path) -> None:
    code = f"""
import os, signal
from pathlib import Path
import numpy as np
from attack.spool import ImageSpool
spool = ImageSpool(Path({str(tmp_path)!r}) / "made")
spool.append(np.ones((100, 16, 16, 1), np.uint8))
assert spool.images.sum() == 25600
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=50, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "made").iterdir()) == []


def test_a_full_disk_is_told_and_the_images_before_stay_usable(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
import numpy as np
from attack.spool import ImageSpool
from foundation.errors import DataError
images = np.random.default_rng(0).integers(0, 256, (1000, 16, 16, 1), np.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
with ImageSpool(Path({str(tmp_path)!r})) as spool:
    spool.append(images[:300])
    try:
        spool.append(images[300:])
    except DataError as error:
        print(error)
    assert np.array_equal(spool.images, images[:300])
    spool.append(images[300:390])
    assert np.array_equal(spool.images, images[:390])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert "700 images, 175 KiB, cannot be kept" in done.stdout
    assert "the 300 images before these are kept" in done.stdout


def test_memory_does_not_grow_with_what_is_kept(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
import numpy as np
from attack.spool import ImageSpool
def own_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))
block = np.zeros((1024, 64, 64, 1), np.uint8)
with ImageSpool(Path({str(tmp_path)!r})) as spool:
    spool.append(block)
    before = own_kib()
    for number in range(63):
        block[:] = number + 1
        spool.append(block)
    assert len(spool.images) == 65536
    assert spool.images[::1024, 0, 0, 0].tolist() == list(range(64))
    print(own_kib() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 << 10, "KiB, of 256 MiB of images"


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot keep images") as caught:
        ImageSpool(tmp_path / "file" / "below")
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_without_permission_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="cannot keep images"):
        ImageSpool(tmp_path)
