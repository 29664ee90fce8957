"""The native runners as the conformance suite starts them: built here, from the sources that are tested."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest

from edge.runner.building import ABIS, RUNTIMES, Abi, build, make_target, missing
from edge.runner.building.compile import compile_android
from edge.runner.building.tflite import npm_tflite
from edge.runner.building.toolchain import compiler_name, system_library, zig_version
from foundation.cache import cache_directory
from foundation.errors import ArtifactError

from .native.bionic_shim import build_shim
from .runner_process import RunnerKind

OWN = ("native-litert", "native-executorch", "native-tflite")
EMULATED = ("arm64-litert", "arm64-executorch", "arm64-tflite")
# TFLite 2.14 rounds fully connected layers another way than LiteRT 2.3, which it is held against: now and then by one
# step of an int8 output. No label of 1,000 differs.
_STEP = 0.02
# LiteRT reads it to size its tables; qemu-user shows the host's, in which no ARM core is found, and LiteRT crashes.
_CORTEX = """\
processor\t: {}
BogoMIPS\t: 125.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


@cache
def native_kind(name: str) -> RunnerKind:
    """The runner `native-ENGINE` (for this machine's processor) or `arm64-ENGINE` (emulated), built.

    Skips where something lacks for that.
    """
    emulated = name.startswith("arm64-")
    abi = ABIS["arm64-v8a"] if emulated else next((abi for abi in ABIS.values() if abi.is_ours), None)
    if abi is None:
        pytest.skip("no native runner is built for this machine")
    engine = name.partition("-")[2]
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if emulated and emulator is None:
        pytest.skip("no qemu-aarch64-static: apt-get install qemu-user-static")
    command = _android_command(abi) if engine == "tflite" else _linux_command(abi, engine)
    if emulated:
        command = (str(emulator), "-cpu", "cortex-a72", "-L", str(_cortex_root()), *command)
    tolerance = _STEP if engine == "tflite" else RunnerKind.tolerance
    return RunnerKind(name, command, (RUNTIMES[engine],), tolerance=tolerance, emulated=emulated)


def _linux_command(abi: Abi, engine: str) -> tuple[str, ...]:
    _demand(abi, engine)
    built = build(make_target(abi.name, "linux", engine))
    # Tests start runners from an empty directory.
    return tuple(word if word.startswith("--") else str(built.folder / word) for word in built.command)


def _android_command(abi: Abi) -> tuple[str, ...]:
    """Android's own program and library, on glibc: see `native/bionic_shim.py`."""
    _demand(abi, None)
    try:
        library = npm_tflite(abi)
    except ArtifactError as error:
        pytest.skip(str(error))
    compiler = compiler_name(abi, "gcc")
    loader, libc = (system_library(compiler, name) for name in (abi.loader, "libc.so.6"))
    if loader is None or libc is None:
        pytest.skip(f"{compiler} has no C library")
    folder = Path(tempfile.mkdtemp(prefix="edgecat-android-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # zig links what a phone gets; where it is not installed, the compiler for glibc makes the same of the same sources.
    compile_android(abi.name, library, None, folder / "runner", None if zig_version() else (compiler,))
    build_shim(abi, [folder / "runner", library], folder)
    shutil.copyfile(library, folder / library.name)
    return (str(loader), "--library-path", f"{folder}:{libc.parent}", str(folder / "runner"))


def _demand(abi: Abi, engine: str | None) -> None:
    """Skip where a compiler or a wheel cannot be had. A compiler that refuses our sources is no reason to skip."""
    lacking = missing(abi.name, "linux", engine, ask=engine is not None)
    if lacking:
        pytest.skip(f"{lacking[0].what} ({lacking[0].hint})")


def _cortex_root() -> Path:
    root = cache_directory("tests", "cortex-a72")
    information = root / "proc" / "cpuinfo"
    information.parent.mkdir(parents=True, exist_ok=True)
    information.write_text("".join(_CORTEX.format(core) for core in range(4)))
    return root
