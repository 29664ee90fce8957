"""A built runner in the cache: its files, and a record of what it was made of."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from edge.runner.building.targets import Target, make_target
from foundation.cache import cache_directory
from foundation.errors import UsageError
from foundation.files import sha256_file

_RECORD = "record.json"
_CONTENT = "files"
_VERSION = 1


@dataclass(frozen=True)
class BuiltFile:
    """One file of a built runner: size in bytes, SHA-256, and whether the device must be able to execute it."""

    bytes: int
    sha256: str
    executable: bool


@dataclass(frozen=True)
class BuiltRunner:
    """A runner in the cache.

    Attributes:
        target: what it is.
        key: digest of everything that it was made of.
        made_of: the versions behind the key, for people.
        command: words that start it, in its own directory.
        seconds: how long it took to build, without fetching.
        page_bytes: the largest memory page under which a kernel loads it.
        files: by path relative to `folder`.
        folder: where they are.
    """

    target: Target
    key: str
    made_of: dict[str, str]
    command: tuple[str, ...]
    seconds: float
    page_bytes: int
    files: dict[str, BuiltFile]
    folder: Path

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())


def runners_folder() -> Path:
    """Where built runners are kept."""
    return cache_directory("runners")


def place(target: Target, key: str) -> Path:
    """Where a runner of this key stands, or will stand."""
    return runners_folder() / f"{target.name}-{key[:16]}"


def content_folder(place: Path) -> Path:
    """The folder of a runner's own files."""
    return place / _CONTENT


def describe_files(folder: Path) -> dict[str, BuiltFile]:
    """Size and hash of every file below a folder, in the order of their names."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): BuiltFile(
            path.stat().st_size, sha256_file(path), bool(path.stat().st_mode & 0o100)
        )
        for path in paths
    }


def write_record(built: BuiltRunner, place: Path) -> None:
    """Put the record beside the files."""
    target = built.target
    document = {
        "version": _VERSION,
        "abi": target.abi.name,
        "flavour": target.flavour,
        "engine": target.engine,
        "key": built.key,
        "made_of": built.made_of,
        "command": list(built.command),
        "seconds": built.seconds,
        "page_bytes": built.page_bytes,
        "files": {name: dataclasses.asdict(file) for name, file in built.files.items()},
    }
    (place / _RECORD).write_text(json.dumps(document, indent=2) + "\n")


def load_record(place: Path) -> BuiltRunner | None:
    """The runner at `place`, if it is there and each file is as it was built; else None."""
    try:
        document = json.loads((place / _RECORD).read_text())
        if document["version"] != _VERSION:
            return None
        built = BuiltRunner(
            target=make_target(document["abi"], document["flavour"], document["engine"]),
            key=document["key"],
            made_of=dict(document["made_of"]),
            command=tuple(document["command"]),
            seconds=float(document["seconds"]),
            page_bytes=int(document["page_bytes"]),
            files={name: BuiltFile(**file) for name, file in document["files"].items()},
            folder=content_folder(place),
        )
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None
    return built if describe_files(built.folder) == built.files else None


def list_built() -> list[BuiltRunner]:
    """Every whole runner in the cache, by name."""
    folder = runners_folder()
    places = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return [built for place in places if (built := load_record(place)) is not None]
