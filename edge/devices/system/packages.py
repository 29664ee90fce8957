"""Debian packages of any architecture, without root and without touching the machine's own packages.

A private apt state in the cache follows the machine's own apt configuration: its Debian mirror, proxy and trusted keys.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foundation.cache import cache_directory
from foundation.errors import DeviceError
from foundation.progress import SILENT, Progress

SUITE = "trixie"
_KEYRINGS = ("debian-archive-keyring.pgp", "debian-archive-keyring.gpg")
_TOOLS = ("apt-get", "apt-cache", "dpkg-deb")


def missing() -> list[str]:
    """What keeps packages from being fetched here, each with what brings it; empty where nothing does."""
    absent = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if absent:
        return [f"no {', '.join(absent)}: use a Debian or Ubuntu machine (or container), which has them"]
    try:
        _mirror()
    except DeviceError as error:
        return [str(error)]
    return []


@dataclass(frozen=True)
class PackagedFile:
    """A file in a package.

    Attributes:
        path: as in `usr/bin/toybox`.
        content: empty where it is a link.
        link: what a symbolic link points to; None where it is a file.
    """

    path: str
    content: bytes
    link: str | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Package:
    """A downloaded package.

    Attributes:
        path: the .deb file.
    """

    path: Path

    @property
    def name(self) -> str:
        """Its name, without version and architecture."""
        return self.path.name.partition("_")[0]

    @property
    def size(self) -> int:
        """Bytes downloaded."""
        return self.path.stat().st_size

    def files(self) -> Iterator[PackagedFile]:
        """The files and symbolic links in it.

        Raises:
            DeviceError: it cannot be read.
        """
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(self.path)], capture_output=True, check=False)
        if done.returncode:
            raise DeviceError(f"cannot unpack {self.path.name}", stderr=done.stderr.decode(errors="replace"))
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            for member in archive:
                path = member.name.removeprefix("./")
                content = archive.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield PackagedFile(path, content.read())
                elif member.issym():
                    yield PackagedFile(path, b"", member.linkname)


class Repository:
    """Debian's packages of one architecture.

    Args:
        architecture: by Debian's name, `amd64` or `arm64`; any, on any machine.

    Raises:
        DeviceError: no apt here, or it knows no mirror.
    """

    def __init__(self, architecture: str) -> None:
        reasons = missing()
        if reasons:
            raise DeviceError("cannot fetch Debian packages", hint="; ".join(reasons))
        self._architecture = architecture
        self._state = cache_directory("emulators", "apt", architecture)
        self._options = self._configure()
        self._fresh = False

    @contextlib.contextmanager
    def fetched(
        self, names: Sequence[str], *, alone: bool = False, progress: Progress = SILENT
    ) -> Iterator[list[Package]]:
        """Download packages for the length of a `with` block.

        Args:
            names: of the packages.
            alone: without what they depend on.
            progress: is told.

        Raises:
            DeviceError: the mirror cannot be reached, has no such package, or the disk is full; in apt's words.
        """
        with self._locked(), tempfile.TemporaryDirectory(dir=self._state, prefix="archives-") as place:
            with progress.task(f"packages for {self._architecture}") as advance:
                self._update()
                advance(note="index read")
                (Path(place) / "partial").mkdir()
                if alone:
                    self._apt(["apt-get", "download", *names], place)
                else:
                    self._apt(["apt-get", "install", "-y", "--download-only", *names], place)
            yield [Package(path) for path in sorted(Path(place).glob("*.deb"))]

    def dependencies(self, name: str) -> list[str]:
        """The packages that `name` names as dependencies: what a meta-package stands for.

        Raises:
            DeviceError: see `fetched`.
        """
        with self._locked():
            self._update()
            said = self._apt(["apt-cache", "depends", name])
        return [line.split()[1] for line in said.splitlines() if line.strip().startswith("Depends:")]

    def _update(self) -> None:
        if not self._fresh:
            self._apt(["apt-get", "update"])
            self._fresh = True

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._state / "lock").open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            for left in self._state.glob("archives-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    def _apt(self, command: list[str], archives: str | None = None) -> str:
        options = [*self._options, *([f"Dir::Cache::archives={archives}"] if archives else [])]
        tool, *rest = command
        done = subprocess.run(
            [tool, "-q", *(part for option in options for part in ("-o", option)), *rest],
            cwd=archives,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
        # `update` calls it a warning that the mirror was not reached: an old index is as good where it still serves.
        if done.returncode:
            words = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "Err:"))]
            raise DeviceError(
                f"{tool} {rest[0]} failed: {' | '.join(words[-3:]) or done.stderr.strip() or done.returncode}",
                hint="is the machine's Debian mirror reachable, and is there space left?",
            )
        return done.stdout

    def _configure(self) -> list[str]:
        """A state of our own; everything else is the machine's configuration."""
        try:
            for name in ("lists/partial", "cache/archives/partial"):
                (self._state / name).mkdir(parents=True, exist_ok=True)
            (self._state / "status").touch()
            sources = self._state / "sources.list"
            sources.write_text(f"deb {_trusted_keys()}{_mirror()} {SUITE} main\n")
        except OSError as error:
            raise DeviceError(
                f"cannot write {self._state}: {error.strerror}", hint="set EDGECAT_CACHE_DIR, or free some space"
            ) from error
        return [
            f"APT::Architecture={self._architecture}",
            f"APT::Architectures={self._architecture}",
            "APT::Install-Recommends=0",
            # As root, apt would fetch as a user of its own, who may not enter the cache.
            "APT::Sandbox::User=",
            "Acquire::Languages=none",
            "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
            "Debug::NoLocking=1",
            f"Dir::Etc::sourcelist={sources}",
            "Dir::Etc::sourceparts=-",
            "Dir::Etc::preferencesparts=-",
            f"Dir::State={self._state}",
            f"Dir::State::lists={self._state}/lists",
            f"Dir::State::status={self._state}/status",
            f"Dir::Cache={self._state}/cache",
            "Dir::Cache::pkgcache=",
            "Dir::Cache::srcpkgcache=",
        ]


def _mirror() -> str:
    """The Debian mirror that the machine itself uses.

    Raises:
        DeviceError: it uses none.
    """
    chosen = os.environ.get("EDGECAT_DEBIAN_MIRROR")
    if chosen:
        return chosen
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    known = sorted(set(done.stdout.split()))
    if not known:
        raise DeviceError(
            "apt knows no Debian mirror",
            hint="run apt-get update as root, or set EDGECAT_DEBIAN_MIRROR to a mirror's URI",
        )
    return known[0]


def _trusted_keys() -> str:
    """Debian's keys where this machine has them in their usual place; else apt takes those that it trusts anyway."""
    places = [Path("/usr/share/keyrings") / name for name in _KEYRINGS]
    found = next((place for place in places if place.is_file()), None)
    return f"[signed-by={found}] " if found else ""
