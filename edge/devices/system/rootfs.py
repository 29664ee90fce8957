"""The root file system of an emulated device: built once from packages, then kept in the cache and never written to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.devices.system import layout, loader
from edge.devices.system.packages import SUITE, Package, PackagedFile, Repository
from foundation.cache import cache_directory
from foundation.errors import DeviceError, UsageError
from foundation.folders import make_once
from foundation.progress import SILENT, Progress

PACKAGES = ("adbd", "mksh", "toybox")
ADBD = f"{loader.PLACE}/adbd"
# Counts up when something changes that the recipe's digest does not see.
_EDITION = 1
_SHELL = "/system/bin/mksh"
_PROGRAMS = {
    "usr/lib/android-sdk/platform-tools/adbd": ADBD,
    "usr/bin/toybox": "/system/bin/toybox",
}


@dataclass(frozen=True)
class Architecture:
    """An instruction set by its several names.

    Attributes:
        abi: Android's.
        debian: Debian's.
        triplet: GNU's, as in Debian's library directories.
        loader: file name of glibc's loader.
    """

    abi: str
    debian: str
    triplet: str
    loader: str

    @property
    def shell(self) -> str:
        """Debian's mksh that needs no libraries: under emulation, loading them would take half of every command."""
        return f"usr/lib/{self.triplet.replace('gnu', 'musl')}/bin/mksh"


_ARCHITECTURES = {
    "x86_64": Architecture("x86_64", "amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
    "arm64-v8a": Architecture("arm64-v8a", "arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
}
ABIS = tuple(_ARCHITECTURES)


def architecture(abi: str) -> Architecture:
    """The architecture of an ABI.

    Raises:
        UsageError: none that we emulate.
    """
    if abi not in _ARCHITECTURES:
        raise UsageError(f"no emulated device for {abi!r}", hint=f"use {' or '.join(ABIS)}")
    return _ARCHITECTURES[abi]


def rootfs_directory(abi: str) -> Path:
    """Where the root file system of an ABI is, or would be; the name changes with the recipe."""
    chosen = architecture(abi)
    recipe = repr(
        (_EDITION, SUITE, PACKAGES, chosen, sorted(_PROGRAMS.items()), chosen.shell, loader.LOADER, loader.LIBRARIES)
    )
    recipe += repr((layout.DIRECTORIES, layout.LINKS, layout.COMMANDS, layout.text_files(abi)))
    return cache_directory("emulators", f"{abi}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}")


def prepare_rootfs(abi: str, progress: Progress = SILENT) -> Path:
    """The root file system of an ABI; built where the cache does not have it. Needs no network where it has.

    Raises:
        UsageError: no such ABI, or the cache cannot be written.
        DeviceError: the packages cannot be had, or are not what we know.
    """
    chosen = architecture(abi)

    def build(directory: Path) -> None:
        with Repository(chosen.debian).fetched(PACKAGES, progress=progress) as packages:
            _fill(directory, chosen, packages, progress)

    return make_once(rootfs_directory(abi), build, progress)


def _fill(root: Path, chosen: Architecture, packages: Sequence[Package], progress: Progress) -> None:
    root.chmod(0o755)
    for name in layout.DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for path, (text, mode) in layout.text_files(chosen.abi).items():
        _write(root / path, text.encode(), mode)
    absent = {*_PROGRAMS.values(), _SHELL, loader.LOADER}
    with progress.task(f"system for {chosen.abi}", len(packages)) as advance:
        for package in packages:
            for file in package.files():
                absent.discard(_take(root, chosen, file))
            advance()
    if absent:
        raise DeviceError(f"Debian's packages have no {', '.join(sorted(absent))}", hint="please report this")
    for link, target in layout.LINKS.items():
        (root / link).symlink_to(target)
    for command in layout.COMMANDS.split():
        (root / "system/bin" / command).symlink_to("toybox")


def _take(root: Path, chosen: Architecture, file: PackagedFile) -> str | None:
    """Copy a package's file if the device needs it; the place that it came to."""
    content = file.content
    if file.path in _PROGRAMS:
        place, content = _PROGRAMS[file.path], loader.with_private_loader(content)
    elif file.path == chosen.shell:
        place = _SHELL
    elif file.name == chosen.loader and not file.link:
        place, content = loader.LOADER, loader.with_private_directory(content, chosen.triplet)
    elif ".so." in file.name and f"lib/{chosen.triplet}/" in file.path:
        place = f"{loader.LIBRARIES}/{file.name}"
    else:
        return None
    if file.link is None:
        _write(root / place.lstrip("/"), content, 0o755)
    elif "/" not in file.link:
        (root / place.lstrip("/")).symlink_to(file.link)
    return place


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
