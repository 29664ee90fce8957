"""Debian packages: what is missing is told, apt's own words come through, and a package's files are read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.devices.system.packages import Package, Repository, missing
from foundation.errors import DeviceError


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that is all of PATH, for programs that stand in for apt's; the cache is a fresh one."""
    directory = tmp_path / "tools"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGECAT_DEBIAN_MIRROR", raising=False)
    return directory


def _tool(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


def _apt(directory: Path, script: str) -> None:
    for name in ("apt-get", "apt-cache", "dpkg-deb"):
        _tool(directory, name, script)


def test_a_machine_without_apt_says_which_programs_it_lacks(tools: Path) -> None:
    _tool(tools, "apt-get", "")
    (reason,) = missing()
    assert "no apt-cache, dpkg-deb" in reason
    with pytest.raises(DeviceError, match="cannot fetch Debian packages") as caught:
        Repository("arm64")
    assert "dpkg-deb" in (caught.value.hint or "")


def test_an_apt_without_a_debian_mirror_says_what_to_do(tools: Path) -> None:
    _apt(tools, "exit 0")
    (reason,) = missing()
    assert "no Debian mirror" in reason
    assert "apt-get update" in reason
    assert "EDGECAT_DEBIAN_MIRROR" in reason


def test_the_mirror_is_the_machine_s_own(tools: Path, tmp_path: Path) -> None:
    _apt(tools, 'case "$*" in *indextargets*) echo http://mirror.invalid/debian/ ;; esac')
    Repository("arm64")
    sources = (tmp_path / "cache/emulators/apt/arm64/sources.list").read_text()
    assert sources.startswith("deb ")
    assert sources.endswith("http://mirror.invalid/debian/ trixie main\n")


def test_what_apt_says_comes_through(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECAT_DEBIAN_MIRROR", "http://mirror.invalid/debian/")
    _apt(tools, 'echo "E: You don\'t have enough free space in here." >&2; exit 100')
    with (
        pytest.raises(DeviceError, match="enough free space") as caught,
        Repository("arm64").fetched(["adbd"]),
    ):
        pytest.fail("nothing was fetched")
    assert caught.value.hint


def test_a_cache_that_cannot_be_written_says_so(tools: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _apt(tools, "echo http://mirror.invalid/debian/")
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="cannot write"):
        Repository("arm64")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb (apt-get install dpkg)")
def test_files_and_links_of_a_package_are_read(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: box\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: a box\n"
    )
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/libbox.so.1.2").write_bytes(b"content")
    (tree / "usr/lib/libbox.so.1").symlink_to("libbox.so.1.2")
    (tree / "DEBIAN").chmod(0o755)
    place = tmp_path / "box_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", str(tree), str(place)], check=True, capture_output=True)
    package = Package(place)
    assert package.name == "box"
    assert {(file.path, file.content, file.link) for file in package.files()} == {
        ("usr/lib/libbox.so.1", b"", "libbox.so.1.2"),
        ("usr/lib/libbox.so.1.2", b"content", None),
    }
    place.write_bytes(place.read_bytes()[:100])
    with pytest.raises(DeviceError, match="cannot unpack box_1_all"):
        list(package.files())
