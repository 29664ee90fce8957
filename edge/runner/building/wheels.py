"""The runtimes' PyPI wheels: the pinned versions, for either processor, each file checked against the wheel's RECORD.

A wheel for this machine is normally installed already, with the exporters. One for another is fetched by pip, with
pip's own configuration (index, mirror, proxy), and kept in the cache.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edge.runner.building.store import fetch, temporary_folder
from edge.runner.building.targets import Abi
from foundation.cache import cache_directory
from foundation.errors import ArtifactError
from foundation.files import sha256_bytes
from foundation.folders import make_once
from foundation.progress import SILENT, Progress

# The tags under which projects publish aarch64 and x86_64 wheels; pip takes the newest that is there.
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
# No Python of the device ever loads them, so one version does for all.
_PYTHON = "3.11"
_PIP = (sys.executable, "-m", "pip")


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries a runtime.

    Attributes:
        project: its name on PyPI.
        version: the one that the exporters are pinned to.
        package: its directory within the wheel.
        parts: the files of it that a runner is built of: names relative to `package`; a name that ends in "/" stands
            for everything below it.
    """

    project: str
    version: str
    package: str
    parts: tuple[str, ...]

    def takes(self, name: str) -> bool:
        """Whether the wheel's file `name` is one that a runner is built of, or the one that names the version."""
        folder, _, rest = name.partition("/")
        if folder == f"{self.package}-{self.version}.dist-info":
            return rest == "METADATA"
        return folder == self.package and any(
            rest.startswith(part) if part.endswith("/") else rest == part for part in self.parts
        )


# Versions equal pyproject.toml's; a test sees to it.
_LITERT = Wheel("ai-edge-litert", "2.3.0", "ai_edge_litert", ("libLiteRt.so",))
_EXECUTORCH = Wheel(
    "executorch",
    "1.5.1",
    "executorch",
    (
        "include/",
        "lib/libexecutorch.so",
        "lib/libexecutorch_threadpool.so",
        "lib/libexecutorch_backend_xnnpack.so",
        "lib/libexecutorch_kernels_optimized.so",
    ),
)
WHEELS: dict[str, Wheel] = {"litert": _LITERT, "executorch": _EXECUTORCH, "executorch-kernels": _EXECUTORCH}


def wheel_package(wheel: Wheel, abi: Abi, progress: Progress = SILENT) -> Path:
    """The directory of the wheel's package, with at least its `parts` in it, every one of them checked.

    Raises:
        ArtifactError: the wheel cannot be had, or is not what its RECORD says.
    """
    return _installed(wheel, abi) or _kept(wheel, abi, progress)


def is_at_hand(wheel: Wheel, abi: Abi) -> bool:
    """Whether `wheel_package` needs no network."""
    return _installed(wheel, abi) is not None or _folder(wheel, abi).is_dir() or _find_wheel(wheel, abi) is not None


def is_offered(wheel: Wheel, abi: Abi) -> bool:
    """Whether pip's index offers the wheel now."""
    command = [*_PIP, "index", "versions", wheel.project, *_tags(abi), "--retries", "0", "--timeout", "5"]
    try:
        offered = fetch(command, wheel.project).partition("Available versions:")[2].partition("\n")[0]
    except ArtifactError:
        return False
    return wheel.version in (version.strip() for version in offered.split(","))


def _installed(wheel: Wheel, abi: Abi) -> Path | None:
    """The package in the running environment, if it is the same version, for the same processor, and unchanged."""
    if not abi.is_ours:
        return None
    try:
        distribution = importlib.metadata.distribution(wheel.project)
    except importlib.metadata.PackageNotFoundError:
        return None
    if distribution.version != wheel.version:
        return None
    files = [file for file in distribution.files or [] if wheel.takes(file.as_posix())]
    for file in files:
        located = Path(str(distribution.locate_file(file)))
        if file.hash is None or not located.is_file() or _record_hash(located.read_bytes()) != file.hash.value:
            return None
    return Path(str(distribution.locate_file(wheel.package))) if files else None


def _kept(wheel: Wheel, abi: Abi, progress: Progress) -> Path:
    """The package unpacked in the cache, from the wheel in the cache, fetched if need be."""

    def make(folder: Path) -> None:
        archive = _find_wheel(wheel, abi)
        if archive is None:
            with progress.task(f"fetching {wheel.project} {wheel.version} for {abi.name}"):
                archive = _download(wheel, abi)
        _unpack(wheel, archive, folder)

    folder = _folder(wheel, abi)
    make_once(folder, make, progress)
    return folder / wheel.package


def _folder(wheel: Wheel, abi: Abi) -> Path:
    # Another version of edgecat may take other parts of the same wheel.
    parts = sha256_bytes("\n".join(wheel.parts).encode())[:8]
    return cache_directory("runtimes", f"{wheel.project}-{wheel.version}-{abi.name}-{parts}")


def _find_wheel(wheel: Wheel, abi: Abi) -> Path | None:
    pattern = f"{wheel.package}-{wheel.version}-*_{abi.machine}.whl"
    return next(iter(sorted(cache_directory("wheels").glob(pattern))), None)


def _download(wheel: Wheel, abi: Abi) -> Path:
    kept = cache_directory("wheels")
    with temporary_folder(kept) as temporary:
        command = [*_PIP, "download", "--quiet", "--no-deps", *_tags(abi), "--dest", str(temporary)]
        command.append(f"{wheel.project}=={wheel.version}")
        fetch(command, f"the wheel of {wheel.project} {wheel.version} for {abi.name}")
        archive = next(iter(temporary.glob("*.whl")), None)
        if archive is None:
            raise ArtifactError(f"pip fetched no wheel of {wheel.project} {wheel.version} for {abi.name}")
        return archive.replace(kept / archive.name)


def _tags(abi: Abi) -> list[str]:
    """pip's options that stand for a device's processor in place of this machine."""
    words = ["--only-binary=:all:", "--python-version", _PYTHON, "--implementation", "cp"]
    words += ["--abi", f"cp{_PYTHON.replace('.', '')}"]
    return words + [word for tag in _PLATFORMS for word in ("--platform", f"{tag}_{abi.machine}")]


def _unpack(wheel: Wheel, archive: Path, folder: Path) -> None:
    """Put the wheel's parts into `folder`, each checked. A torn wheel is removed, so that the next try fetches it."""
    try:
        with zipfile.ZipFile(archive) as opened:
            hashes = _record(opened)
            names = [name for name in opened.namelist() if wheel.takes(name) and not name.endswith("/")]
            for name in names:
                content = opened.read(name)
                if _record_hash(content) != hashes.get(name):
                    raise zipfile.BadZipFile(f"{name} is not what its RECORD says")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            absent = [part for part in wheel.parts if not (folder / wheel.package / part).exists()]
            if absent:
                raise ArtifactError(f"{archive.name} has no {', '.join(absent)}")
    except zipfile.BadZipFile as error:
        archive.unlink(missing_ok=True)
        raise ArtifactError(f"{archive.name} is torn: {error}", hint="it was removed; try again") from error


def _record(opened: zipfile.ZipFile) -> dict[str, str]:
    """Hashes by file name, from the wheel's RECORD."""
    name = next((name for name in opened.namelist() if name.endswith(".dist-info/RECORD")), None)
    if name is None:
        raise zipfile.BadZipFile("no RECORD")
    rows = csv.reader(io.StringIO(opened.read(name).decode()))
    return {row[0]: row[1].removeprefix("sha256=") for row in rows if len(row) > 1 and row[1].startswith("sha256=")}


def _record_hash(content: bytes) -> str:
    """SHA-256 as RECORD files write it: URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
