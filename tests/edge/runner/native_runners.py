"""The native runners as the conformance suite starts them: built here, from the sources that are tested."""

from __future__ import annotations

import os
import shutil
import tarfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from foundation.cache import cache_directory
from foundation.errors import EdgecatError

from .runner_process import RunnerKind

if TYPE_CHECKING:
    from edge.runner.building.targets import Abi

OWN = ("native-litert", "native-executorch", "native-tflite")
EMULATED = ("arm64-litert", "arm64-executorch")
_TFLITE = "libtensorflowlite_c.so"
_NPM = "tfjs-tflite-node", "0.0.2"
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
    """A runner of `OWN` (for this machine's processor) or `EMULATED`, built. Skips where something lacks for that."""
    from edge.runner.building import ABIS, RUNTIMES, build, make_target

    abi = next((abi for abi in ABIS.values() if abi.is_ours), None) if name in OWN else ABIS["arm64-v8a"]
    if abi is None:
        pytest.skip("no native runner is built for this machine")
    engine = name.partition("-")[2]
    _demand(abi, engine if engine in RUNTIMES and engine != "tflite" else None)
    if engine == "tflite":
        runner = _tflite_runner(abi)
        return RunnerKind(name, (str(runner),), ("tflite",), library=runner.with_name(_TFLITE))
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if name in EMULATED and emulator is None:
        pytest.skip("no qemu-aarch64-static: apt-get install qemu-user-static")
    built = build(make_target(abi.name, "linux", engine))
    command = _absolute(built.folder, built.command)
    if name in EMULATED:
        command = (str(emulator), "-cpu", "cortex-a72", "-L", str(_cortex_root()), *command)
    return RunnerKind(name, command, (RUNTIMES[engine],), emulated=name in EMULATED)


def _demand(abi: Abi, engine: str | None) -> None:
    """Skip where a compiler or a wheel cannot be had. A compiler that refuses our sources is no reason to skip."""
    from edge.runner.building import missing

    lacking = missing(abi.name, "linux", engine, ask=engine is not None)
    if lacking:
        pytest.skip(f"{lacking[0].what} ({lacking[0].hint})")


def _absolute(folder: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """Tests start runners from an empty directory."""
    return tuple(word if word.startswith("--") else str(folder / word) for word in command)


def _cortex_root() -> Path:
    root = cache_directory("tests", "cortex-a72")
    information = root / "proc" / "cpuinfo"
    information.parent.mkdir(parents=True, exist_ok=True)
    information.write_text("".join(_CORTEX.format(core) for core in range(4)))
    return root


def _tflite_runner(abi: Abi) -> Path:
    """The engine of Android's runner, linked to a TFLite C library for glibc that an npm package carries."""
    from edge.runner.building.compile import compile_linux

    folder = cache_directory("tests", f"{'-'.join(_NPM)}-{abi.name}")
    if not (folder / _TFLITE).exists():
        try:
            _fetch_tflite(folder, {"x86_64": "linux_amd64", "arm64-v8a": "linux_arm64"}[abi.name])
        except EdgecatError as error:
            pytest.skip(str(error))
    # Several test processes may come here at once.
    runner = folder / f"runner-{os.getpid()}"
    compile_linux("tflite", abi.name, folder, runner)
    return runner.replace(folder / "runner")


def _fetch_tflite(folder: Path, place: str) -> None:
    from edge.runner.building.store import fetch, temporary_folder

    folder.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder) as temporary:
        fetch(["npm", "pack", "@".join(_NPM), "--ignore-scripts", "--loglevel=error"], _NPM[0], temporary)
        with tarfile.open(next(temporary.glob("*.tgz"))) as archive:
            member = archive.extractfile(f"package/cc_deps/{place}/{_TFLITE}")
            assert member is not None
            (temporary / _TFLITE).write_bytes(member.read())
        (temporary / _TFLITE).replace(folder / _TFLITE)
