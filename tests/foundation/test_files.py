"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import re
import stat
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import ExitCode, UsageError
from foundation.files import file_name, replacing, sha256_arrays, sha256_bytes, sha256_file, write_bytes, write_text


class Interrupted(BaseException):
    """Stands for whatever ends a program in the middle of a write."""


def half_write(place: Path, error: BaseException) -> None:
    with replacing(place) as temporary:
        temporary.write_bytes(b"half")
        raise error


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), Interrupted()])
def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    place = tmp_path / "model"
    place.write_bytes(b"old")
    with pytest.raises(type(error)):
        half_write(place, error)
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_an_exception_before_the_first_byte_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), replacing(tmp_path / "model", mode=0o600):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_the_new_file_is_seen_only_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b" / "model"
    with replacing(place) as temporary:
        temporary.write_bytes(b"whole")
        assert not place.exists()
        assert temporary.parent == place.parent
    assert place.read_bytes() == b"whole"
    assert list(place.parent.iterdir()) == [place]


def test_the_mode_holds_before_the_first_byte(tmp_path: Path) -> None:
    place = tmp_path / "key"
    with replacing(place, mode=0o600) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_bytes(b"secret")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.parametrize("below", ["model", "a/model", "a/b/c/model"])
def test_a_place_below_a_file_is_a_usage_error(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"cannot write .*model: .*[Nn]ot a directory") as caught:
        write_bytes(tmp_path / "file" / below, b"x")
    assert caught.value.exit_code == ExitCode.USAGE
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="wants a directory in which nobody can make another")
@pytest.mark.parametrize("below", ["model", "a/model", "a/b/c/model"])
def test_a_directory_that_takes_no_new_entries_is_a_usage_error(below: str) -> None:
    with pytest.raises(UsageError, match=r"cannot write .*model"):
        write_bytes(Path("/proc/self") / below, b"x")


def test_a_directory_in_the_file_s_place_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        write_text(tmp_path / "model", "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No space left"):
        half_write(tmp_path / "model", OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []


def test_a_failure_to_read_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "model"):
        (tmp_path / "absent").read_bytes()


def test_text_is_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "report", "μs ≥ 0\n")
    assert (tmp_path / "report").read_bytes() == "μs ≥ 0\n".encode()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    write_bytes(tmp_path / "file", data[:size])
    assert sha256_file(tmp_path / "file") == sha256_bytes(data[:size]) == hashlib.sha256(data[:size]).hexdigest()


def test_the_hash_of_arrays_depends_on_dtype_shape_order_and_content() -> None:
    base = np.arange(6, dtype=np.int32)
    others = [
        (base.view(np.uint32),),
        (base.astype(np.int64),),
        (base.astype(">i4"),),
        (base.reshape(2, 3),),
        (base.reshape(3, 2),),
        (base[::-1],),
        (base[:3], base[3:]),
        (base[3:], base[:3]),
        (base[:0],),
        (base[:0].reshape(0, 3),),
    ]
    hashes = [sha256_arrays(base), *(sha256_arrays(*arrays) for arrays in others)]
    assert len(set(hashes)) == len(hashes)


def test_the_hash_of_arrays_does_not_depend_on_their_memory_layout() -> None:
    base = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert (
        sha256_arrays(base) == sha256_arrays(np.asfortranarray(base)) == sha256_arrays(base.repeat(2, axis=1)[:, ::2])
    )


def test_names_of_files_stay_apart_and_stay_readable() -> None:
    assert file_name("npd", "random", "3") == "npd_random_3"
    names = [("a_b", "c"), ("a", "b_c"), ("a", "b", "c"), ("a/b", "c"), ("a:b", "c"), ("", "c"), ("x" * 300, "c")]
    found = [file_name(*words) for words in names]
    assert len(set(found)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,140}", name) for name in found)
