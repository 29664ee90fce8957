"""Files and whole directories from the device: verified, and never outside the directory they are meant for."""

from __future__ import annotations

import hashlib
import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.adb.directories import Transfer, device_digests
from edge.adb.staging import sheltered
from edge.adb.sync import Sync
from edge.adb.sync_records import FileStat
from foundation.errors import DeviceError, ProtocolError, UsageError
from foundation.files import replacing, sha256_file
from foundation.progress import SILENT, Advance, Progress

if TYPE_CHECKING:
    from edge.adb.client import Adb

_DEEPEST = 64
_MOST_ENTRIES = 1_000_000


@dataclass
class RemoteTree:
    """What a directory of the device holds: directories, parents first; files by name, relative to it."""

    directories: list[str] = field(default_factory=list)
    files: dict[str, FileStat] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def pull_directory(adb: Adb, remote: str, local: Path, progress: Progress = SILENT) -> Transfer:
    """Make a local directory hold what one of the device holds; what else is there stays.

    A file that is here already with the same content is not fetched. Every other goes to a temporary name, is compared
    with the SHA-256 that the device works out, and then renamed; it has the device's mode and time of change. Symbolic
    links are skipped. What the device calls its files is not trusted: no name leads out of `local`.

    Args:
        adb: the device.
        remote: the directory there.
        local: what it shall be here; made if need be.
        progress: told of bytes.

    Raises:
        DeviceError: it cannot be read; what is in place by then stays, and is not fetched again.
        ProtocolError: the device sends what no directory can hold.
        UsageError: `local` cannot be written.
    """
    remote = sheltered(remote)
    with Sync(adb.connection) as sync:
        tree = _look(sync, remote)
        digests = device_digests(adb, remote, list(tree.files))
        total = sum(found.size for found in tree.files.values())
        local = local.resolve()
        for name in ("", *tree.directories):
            _make_directory(local / name)
        sent: list[int] = []
        with progress.task(f"pull {remote}", total) as advance:
            for name, found in tree.files.items():
                if _is_here(local / name, found, digests.get(name)):
                    advance(found.size)
                    continue
                _fetch(sync, posixpath.join(remote, name), found, digests.get(name), local / name, advance)
                sent.append(found.size)
    return Transfer(len(tree.files), total, len(sent), sum(sent), tuple(tree.skipped))


def pull_file(adb: Adb, remote: str, local: Path, progress: Progress = SILENT) -> Transfer:
    """Fetch one file as `pull_directory` does.

    Raises:
        DeviceError: it cannot be read, or did not arrive whole.
        UsageError: `local` cannot be written.
    """
    with Sync(adb.connection) as sync:
        found = sync.stat(remote)
        if found is None or not found.is_file:
            raise DeviceError(f"{remote} is no file", device=adb.serial, stderr="" if found else "No such file")
        folder, name = posixpath.split(sheltered(remote))
        digest = device_digests(adb, folder or ".", [name]).get(name)
        if _is_here(local, found, digest):
            return Transfer(1, found.size, 0, 0)
        with progress.task(f"pull {remote}", found.size) as advance:
            _fetch(sync, remote, found, digest, local, advance)
        return Transfer(1, found.size, 1, found.size)


def _look(sync: Sync, remote: str) -> RemoteTree:
    # The slash: version 1 of the service does not follow a link, and /sdcard is one.
    found = sync.stat(posixpath.join(remote, ""))
    if found is None or not found.is_directory:
        raise DeviceError(f"{remote} is no directory", stderr="" if found else "No such file or directory")
    tree = RemoteTree()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        if folder.count("/") >= _DEEPEST or len(tree.files) + len(tree.directories) > _MOST_ENTRIES:
            raise DeviceError(f"{remote} is nested too deeply, or has too many files", hint="pull a part of it")
        entries = sync.list(posixpath.join(remote, folder))
        for name in sorted(entries):
            _check_name(name, remote)
            path = posixpath.join(folder, name)
            if entries[name].is_directory:
                tree.directories.append(path)
                waiting.append(path)
            elif entries[name].is_file:
                tree.files[path] = entries[name]
            else:
                tree.skipped.append(f"{path}: no regular file")
    # Parents before their children, whatever the order they were met in.
    tree.directories.sort()
    return tree


def _check_name(name: str, remote: str) -> None:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ProtocolError(f"the device names a file {name!r} in {remote}", hint="do not trust this device")


def _make_directory(place: Path) -> None:
    """Make a directory; a link in its place would lead what we write to somewhere else."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the directory {place}: {error.strerror}") from error
    if place.is_symlink():
        raise UsageError(f"{place} is a symbolic link", hint="remove it, or pull to another directory")


def _is_here(place: Path, found: FileStat, digest: str | None) -> bool:
    try:
        known = place.lstat()
        if digest is None or place.is_symlink() or known.st_size != found.size:
            return False
        return sha256_file(place) == digest
    except OSError:
        return False


def _fetch(sync: Sync, remote: str, found: FileStat, digest: str | None, place: Path, advance: Advance) -> None:
    with replacing(place) as temporary:
        seen = hashlib.sha256()
        size = 0
        with temporary.open("wb") as stream:
            for piece in sync.read(remote):
                size += len(piece)
                if size > found.size:
                    break
                stream.write(piece)
                seen.update(piece)
                advance(len(piece))
        if size != found.size or (digest is not None and seen.hexdigest() != digest):
            raise DeviceError(
                f"{remote} changed while it was read, or did not arrive whole", hint="try again, or try another cable"
            )
        temporary.chmod(found.mode & 0o777)
        os.utime(temporary, (found.mtime, found.mtime))
