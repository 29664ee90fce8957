"""The root file system: whole or absent, built once, without the network once it is there, and as a phone's."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from edge.devices import isolated
from edge.devices.system import loader
from edge.devices.system.rootfs import ABIS, prepare_rootfs, rootfs_directory
from foundation.errors import DeviceError, UsageError
from foundation.folders import make_once


@pytest.fixture(params=ABIS)
def rootfs(request: pytest.FixtureRequest) -> Path:
    reasons = isolated.missing(f"sandbox:{request.param}")
    if reasons:
        pytest.skip("; ".join(reasons))
    return prepare_rootfs(request.param)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "half").touch()
        raise DeviceError("no more packages")

    with pytest.raises(DeviceError):
        make_once(tmp_path / "system", build)
    assert [path.name for path in tmp_path.iterdir()] == [".system.lock"]


def test_a_full_disk_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    def build(directory: Path) -> None:
        (directory / "half").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory / "other"))

    with pytest.raises(UsageError, match="No space left") as caught:
        make_once(tmp_path / "system", build)
    assert "EDGECAT_CACHE_DIR" in (caught.value.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == [".system.lock"]


def test_what_a_killed_builder_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".system.killed.partial").mkdir()
    make_once(tmp_path / "system", lambda directory: (directory / "whole").touch())
    assert sorted(path.name for path in tmp_path.iterdir()) == [".system.lock", "system"]


def test_two_builders_build_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(directory: Path) -> None:
        built.append(directory)
        time.sleep(0.1)
        (directory / "whole").touch()

    builders = [threading.Thread(target=make_once, args=(tmp_path / "system", build)) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert len(built) == 1
    assert (tmp_path / "system/whole").exists()


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot write"):
        make_once(tmp_path / "file/system", lambda _: None)


def test_an_unknown_abi_is_refused() -> None:
    with pytest.raises(UsageError, match="mips"):
        rootfs_directory("mips")


@pytest.mark.device
def test_what_is_in_the_cache_needs_neither_apt_nor_a_network(
    rootfs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    abi = next(abi for abi in ABIS if rootfs.name.startswith(abi))
    assert prepare_rootfs(abi) == rootfs


@pytest.mark.device
def test_there_is_no_glibc_where_programs_look_for_it(rootfs: Path) -> None:
    for name in ("lib", "lib64", "usr", "system/lib", "system/lib64", "system/etc/ld.so.cache"):
        assert not (rootfs / name).exists()
    outside = [path for path in rootfs.rglob("*") if not path.is_relative_to(rootfs / loader.PLACE.lstrip("/"))]
    assert [path for path in outside if ".so" in path.name or path.name.startswith("python")] == []


@pytest.mark.device
def test_every_program_asks_for_the_private_loader(rootfs: Path) -> None:
    for name in ("apex/edgecat/adbd", "system/bin/toybox"):
        content = (rootfs / name).read_bytes()
        assert loader.LOADER.encode() + b"\0" in content
        assert b"/ld-linux-" not in content[:4096]
    # The shell is whole in itself.
    assert b"/ld-" not in (rootfs / "system/bin/mksh").read_bytes()[:4096]


@pytest.mark.device
def test_no_link_leads_nowhere(rootfs: Path) -> None:
    links = [path for path in rootfs.rglob("*") if path.is_symlink()]
    assert len(links) > 100
    for link in links:
        target = str(link.readlink())
        place = rootfs / target.lstrip("/") if target.startswith("/") else link.parent / target
        assert os.path.lexists(place), link
