"""Where the android flavour's TFLite library comes from: an npm package, or a file of the user's.

TFLite 2.14.0 for each ABI, with its C headers, travels in an old version of react-native-fast-tflite (MIT; TFLite
itself is Apache-2.0). npm fetches it with its own configuration; it must have the sha512 that is written down here.
"""

from __future__ import annotations

import base64
import hashlib
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from edge.runner.building.elf import Elf, read_elf
from edge.runner.building.store import fetch, temporary_folder
from edge.runner.building.targets import ABIS, Abi
from foundation.cache import cache_directory
from foundation.errors import ArtifactError
from foundation.files import sha256_file
from foundation.folders import make_once
from foundation.progress import SILENT, Progress

NPM_PACKAGE = "react-native-fast-tflite"
NPM_VERSION = "1.2.0"
NPM_INTEGRITY = "sha512-1hpDXU+XDJ/fHtI7v0ThJj9/bn/utk7C7FLE2Fa60sJawHcsOAxdOlh92BJzhxpYHBMO9367Jlr5f2bKC1DZmA=="
_ROOT = "package/android/src/main/cpp/lib/tensorflow/"
# Without these there is no C API to speak of.
_API = frozenset({"TfLiteVersion", "TfLiteModelCreate", "TfLiteInterpreterCreate", "TfLiteInterpreterInvoke"})
# What an Android device has for every program (the NDK's stable libraries).
SYSTEM_LIBRARIES = frozenset(
    f"lib{name}.so"
    for name in ("c", "m", "dl", "log", "z", "android", "EGL", "GLESv2", "GLESv3", "nativewindow", "neuralnetworks")
)


def npm_tflite(abi: Abi, progress: Progress = SILENT) -> Path:
    """The npm package's TFLite library for an ABI; its headers are in `include` beside it.

    Raises:
        ArtifactError: npm is not installed, the package cannot be had, or is another than the one known.
    """

    def make(folder: Path) -> None:
        with progress.task(f"fetching {NPM_PACKAGE} {NPM_VERSION} (TFLite for Android, 37 MB)"):
            _fetch(folder)

    folder = npm_folder()
    make_once(folder, make, progress)
    return folder / abi.name / "libtensorflowlite_jni.so"


def npm_folder() -> Path:
    """Where the npm package's libraries are kept."""
    return cache_directory("runtimes", f"{NPM_PACKAGE}-{NPM_VERSION}")


def npm_offers() -> bool:
    """Whether npm's registry offers the package now."""
    command = ["npm", "view", f"{NPM_PACKAGE}@{NPM_VERSION}", "dist.integrity", "--fetch-retries=0"]
    try:
        return fetch(command, NPM_PACKAGE).strip() == NPM_INTEGRITY
    except ArtifactError:
        return False


def given_tflite(given: Path, abi: Abi) -> Path:
    """A TFLite library of the user's, checked: a shared object, or an Android archive (.aar) with one for the ABI.

    Returns:
        the library in the cache; its headers, if the archive has them, are in `include` beside it.

    Raises:
        ArtifactError: it is not there, for another ABI, has no TfLite C API, or needs what Android does not have.
    """
    if not given.is_file():
        raise ArtifactError(f"no file {given}")

    def make(folder: Path) -> None:
        if zipfile.is_zipfile(given):
            _take_from_archive(given, abi, folder)
        else:
            _take_library(given.name, given.read_bytes(), abi, folder)

    folder = cache_directory("runtimes", f"given-{sha256_file(given)[:16]}-{abi.name}")
    make_once(folder, make)
    return next(folder.glob("*.so"))


def _fetch(folder: Path) -> None:
    with temporary_folder(folder.parent) as temporary:
        command = ["npm", "pack", f"{NPM_PACKAGE}@{NPM_VERSION}", "--ignore-scripts", "--loglevel=error"]
        fetch(command, f"{NPM_PACKAGE} {NPM_VERSION}", temporary)
        archive = next(iter(temporary.glob("*.tgz")), None)
        if archive is None or _integrity(archive.read_bytes()) != NPM_INTEGRITY:
            raise ArtifactError(f"{NPM_PACKAGE} {NPM_VERSION} as npm fetched it is not the one known (sha512 differs)")
        with tarfile.open(archive) as opened:
            for abi in ABIS.values():
                name = "libtensorflowlite_jni.so"
                _take_library(name, _member(opened, f"{_ROOT}jni/{abi.name}/{name}"), abi, folder / abi.name)
                headers = [name for name in opened.getnames() if name.startswith(f"{_ROOT}headers/tensorflow/")]
                files = ((name.removeprefix(f"{_ROOT}headers/"), _member(opened, name)) for name in headers)
                _write_headers(files, folder / abi.name)


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name) if archive.getmember(name).isfile() else None
    return stream.read() if stream is not None else b""


def _integrity(data: bytes) -> str:
    return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"


def _take_from_archive(given: Path, abi: Abi, folder: Path) -> None:
    try:
        with zipfile.ZipFile(given) as opened:
            names = opened.namelist()
            libraries = [name for name in names if name.startswith(f"jni/{abi.name}/") and name.endswith(".so")]
            if not libraries:
                others = sorted(
                    {name.split("/")[1] for name in names if name.startswith("jni/") and name.count("/") > 1}
                )
                raise ArtifactError(
                    f"{given} has no library for {abi.name}, only for: {', '.join(others) or 'nothing'}"
                )
            chosen = _with_api({name: opened.read(name) for name in libraries}, given, folder)
            _take_library(Path(chosen).name, opened.read(chosen), abi, folder)
            headers = [name for name in names if name.startswith("headers/") and name.endswith(".h")]
            _write_headers(((name.removeprefix("headers/"), opened.read(name)) for name in headers), folder)
    except zipfile.BadZipFile as error:
        raise ArtifactError(f"{given} is a torn archive: {error}") from error


def _with_api(libraries: dict[str, bytes], given: Path, folder: Path) -> str:
    """The first library of an archive that has the C API."""
    probe = folder / "probe"
    for name, content in libraries.items():
        probe.write_bytes(content)
        offered = read_elf(probe, name).defined
        probe.unlink()
        if offered >= _API:
            return name
    raise ArtifactError(
        f"no library in {given} has the TfLite C API: {', '.join(Path(name).name for name in libraries)}",
        hint="TensorFlow Lite's and LiteRT 1.x's archives have it; LiteRT 2's libLiteRt.so does not",
    )


def _take_library(name: str, content: bytes, abi: Abi, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    elf = read_elf(path, name)
    _check(name, elf, abi)
    # The linker writes down the library's own name, so that is what its file must be called on the device.
    path.replace(folder / str(elf.soname))


def _check(name: str, elf: Elf, abi: Abi) -> None:
    if elf.machine != abi.elf_machine:
        raise ArtifactError(f"{name} is for {elf.machine}, not for {abi.name}")
    absent = sorted(_API - elf.defined)
    if absent:
        raise ArtifactError(f"{name} has no TfLite C API: {', '.join(absent)} is not in it")
    foreign = sorted(set(elf.needed) - SYSTEM_LIBRARIES)
    if foreign:
        raise ArtifactError(f"{name} needs {', '.join(foreign)}, which Android does not have")
    if elf.soname is None or not elf.soname.endswith(".so") or "/" in elf.soname:
        raise ArtifactError(f"{name} has no SONAME that ends in .so; nothing can be linked to it")


def _write_headers(files: Iterable[tuple[str, bytes]], folder: Path) -> None:
    root = (folder / "include").resolve()
    for name, content in files:
        target = (root / name).resolve()
        if root in target.parents and content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
