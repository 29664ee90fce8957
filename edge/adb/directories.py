"""Whole directories to the device: only what is not there yet, verified there, in place file by file."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import stat as stat_bits
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge.adb.staging import Staging, explaining, not_whole, sheltered
from edge.adb.sync import Sync
from foundation.errors import DeviceError, UsageError
from foundation.files import sha256_file
from foundation.progress import SILENT, Advance, Progress

if TYPE_CHECKING:
    from edge.adb.client import Adb

# A pushed file is at its place when its batch is: what an interrupted push has to send again is at most one batch.
_BATCH_BYTES = 32 << 20
_BATCH_FILES = 256
_COMMAND_LENGTH = 32 << 10
_OLD_COMMAND_LENGTH = 2 << 10
_DIGEST = re.compile(r"^([0-9a-f]{64})  \./(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Transfer:
    """What a push or pull of a directory did.

    Attributes:
        files: how many files there are now.
        bytes: their size.
        sent_files: how many of them had to travel.
        sent_bytes: their size.
        skipped: what was left out, each with the reason: symbolic links, sockets, …
    """

    files: int
    bytes: int
    sent_files: int
    sent_bytes: int
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        files = f"{self.sent_files} of {self.files} file{'' if self.files == 1 else 's'}"
        return f"{files} travelled, {self.sent_bytes:,} of {self.bytes:,} bytes"


@dataclass(frozen=True)
class LocalFile:
    """A file to push; `name` is relative to the tree, with slashes."""

    name: str
    path: Path
    size: int
    mode: int


@dataclass
class LocalTree:
    """What is to be pushed: directories as (name, mode), parents first; "" is the root."""

    directories: list[tuple[str, int]] = field(default_factory=list)
    files: list[LocalFile] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def push_directory(adb: Adb, local: Path, remote: str, progress: Progress = SILENT) -> Transfer:
    """Make a directory of the device hold what a local one holds; what else is there stays.

    A file that the device has with the same content is not sent. Every other goes to a temporary name, is checked there
    by SHA-256 and then moved to its place, with its mode and time of change. A symbolic link to a file within the tree
    is pushed as that file; other links are skipped.

    Args:
        adb: the device.
        local: the directory to push.
        remote: what it shall be on the device; made if need be.
        progress: told of bytes.

    Raises:
        DeviceError: the device cannot take it; what is in place by then stays, and is not sent again.
        UsageError: `local` cannot be read.
    """
    tree = scan(local)
    remote = sheltered(remote)
    total = sum(file.size for file in tree.files)
    with (
        Staging(adb, remote, total) as staging,
        explaining(adb, remote, total),
        progress.task(f"push {local.name or local}", total) as advance,
    ):
        push = _Push(adb, remote, staging, advance)
        push.make_directories(name for name, _ in tree.directories)
        there = push.find_same(tree.files)
        with Sync(adb.connection) as sync:
            for batch in _batches([file for file in tree.files if file.name not in there]):
                push.send(sync, batch)
        push.set_modes(tree, there)
    sent = [file.size for file in tree.files if file.name not in there]
    return Transfer(len(tree.files), total, len(sent), sum(sent), tuple(tree.skipped))


def scan(local: Path) -> LocalTree:
    """Look what a local directory holds.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    tree = LocalTree()
    root = local.resolve()
    try:
        _scan(root, root, "", tree)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename or local}: {error.strerror}") from error
    return tree


def _scan(root: Path, directory: Path, name: str, tree: LocalTree) -> None:
    tree.directories.append((name, directory.stat().st_mode & 0o777))
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        child = posixpath.join(name, entry.name)
        path = directory / entry.name
        if entry.is_dir(follow_symlinks=False):
            _scan(root, path, child, tree)
            continue
        target = path.resolve() if entry.is_symlink() else path
        if not target.is_file() or not target.is_relative_to(root):
            reason = "a link that leads to no file of the tree" if entry.is_symlink() else "no regular file"
            tree.skipped.append(f"{child}: {reason}")
            continue
        known = target.stat()
        tree.files.append(LocalFile(child, target, known.st_size, known.st_mode & 0o777))


def _batches(files: list[LocalFile]) -> Iterator[list[LocalFile]]:
    batch: list[LocalFile] = []
    for file in files:
        if batch and (len(batch) == _BATCH_FILES or sum(f.size for f in batch) + file.size > _BATCH_BYTES):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


class _Push:
    """One push under way."""

    def __init__(self, adb: Adb, remote: str, staging: Staging, advance: Advance) -> None:
        self._adb = adb
        self._remote = remote
        self._staging = staging
        self._advance = advance
        self._digests: dict[str, str] = {}

    def make_directories(self, names: Iterable[str]) -> None:
        over(self._adb, "mkdir -p --", [posixpath.join(self._remote, name) for name in names])

    def find_same(self, files: list[LocalFile]) -> set[str]:
        """The files that the device has already, by size and SHA-256."""
        known: dict[str, int] = {}
        with Sync(self._adb.connection) as sync:
            for folder in sorted({posixpath.dirname(file.name) for file in files}):
                for name, found in sync.list(posixpath.join(self._remote, folder)).items():
                    if found.is_file:
                        known[posixpath.join(folder, name)] = found.size
        maybe = [file for file in files if known.get(file.name) == file.size]
        there = device_digests(self._adb, self._remote, [file.name for file in maybe])
        same = {file.name for file in maybe if there.get(file.name) == self._digest(file)}
        self._advance(sum(file.size for file in maybe if file.name in same))
        return same

    def send(self, sync: Sync, batch: list[LocalFile]) -> None:
        """Send some files, check them and put them in their places."""
        # Under its own name in a folder that stands for its own: no name grows, and one command moves many files.
        split = {file.name: posixpath.split(file.name) for file in batch}
        folders = sorted({folder for folder, _ in split.values()})
        staged = {name: f"{folders.index(folder)}/{base}" for name, (folder, base) in split.items()}
        # adb's daemon would make them itself, but not below a relative path.
        over(self._adb, "mkdir -p --", [f"{self._staging.path}/{number}" for number in range(len(folders))])
        sync.write_all(
            ((file.path, f"{self._staging.path}/{staged[file.name]}", file.mode) for file in batch), self._advance
        )
        arrived = device_digests(self._adb, self._staging.path, list(staged.values()))
        for file in batch:
            if arrived.get(staged[file.name]) != self._digest(file):
                raise not_whole(self._adb, posixpath.join(self._remote, file.name))
        modes = {f"{self._staging.path}/{staged[file.name]}": file.mode for file in batch}
        _set_modes(self._adb, modes)
        for folder in folders:
            moved = [f"{self._staging.path}/{staged[name]}" for name, (parent, _) in split.items() if parent == folder]
            over(self._adb, "mv -f --", moved, shlex.quote(posixpath.join(self._remote, folder, "")))

    def set_modes(self, tree: LocalTree, there: set[str]) -> None:
        """Modes of what was not sent, and of directories (their owner can always write: the next push will want to)."""
        modes = {file.name: file.mode for file in tree.files if file.name in there}
        modes |= {name: mode | 0o700 for name, mode in reversed(tree.directories) if name}
        _set_modes(self._adb, {posixpath.join(self._remote, name): mode for name, mode in modes.items()})

    def _digest(self, file: LocalFile) -> str:
        if file.name not in self._digests:
            try:
                self._digests[file.name] = sha256_file(file.path)
            except OSError as error:
                raise UsageError(f"cannot read {file.path}: {error.strerror}") from error
        return self._digests[file.name]


def device_digests(adb: Adb, root: str, names: list[str]) -> dict[str, str]:
    """SHA-256 of many files of the device, by name relative to `root`; those that cannot be read are not among them."""
    place = shlex.quote(root)
    # Where a name has such characters, some sha256sums escape them and some do not.
    odd = {name for name in names if set(name) & set("\\\n\r")}
    digests: dict[str, str] = {}
    for part in _commands(adb, [f"./{name}" for name in names if name not in odd]):
        said = adb.shell(f"cd {place} && sha256sum -- {part}").stdout.decode("utf-8", "surrogateescape")
        digests |= {name: digest for digest, name in _DIGEST.findall(said)}
    for name in odd:
        result = adb.shell(f"cd {place} && sha256sum < {shlex.quote(f'./{name}')}")
        if not result.exit_code:
            digests[name] = result.stdout[:64].decode(errors="replace")
    return digests


def over(adb: Adb, command: str, paths: list[str], last: str = "") -> None:
    """Run a command on many paths, as many at a time as fit a command line.

    Raises:
        DeviceError: it failed; carries its words.
    """
    for part in _commands(adb, [sheltered(path) for path in paths]):
        # Not by way of the staging shell: it reads its input byte by byte.
        result = adb.shell(f"{command} {part} {last}")
        if result.exit_code:
            words = (result.stderr or result.stdout).decode(errors="replace")
            raise DeviceError(f"{command} failed", device=adb.serial, exit_status=result.exit_code, stderr=words)


def _set_modes(adb: Adb, modes: dict[str, int]) -> None:
    by_mode: defaultdict[int, list[str]] = defaultdict(list)
    for path, mode in modes.items():
        by_mode[stat_bits.S_IMODE(mode)].append(path)
    for mode, paths in by_mode.items():
        over(adb, f"chmod {mode:o} --", paths)


def _commands(adb: Adb, paths: list[str]) -> Iterator[str]:
    """Quoted paths in pieces that fit a command line."""
    longest = _COMMAND_LENGTH if "shell_v2" in adb.connection.features else _OLD_COMMAND_LENGTH
    words: list[str] = []
    length = 0
    for path in paths:
        word = shlex.quote(path)
        # A character may take four bytes.
        if words and length + 4 * len(word) > longest:
            yield " ".join(words)
            words, length = [], 0
        words.append(word)
        length += 4 * len(word)
    if words:
        yield " ".join(words)
