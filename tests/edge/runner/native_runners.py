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
    """A runner of `OWN` (for this machine's processor) or `EMULATED`. Skips the test, with the reason, where it
    cannot be built or started."""
    from edge.runner.building import ABIS, RUNTIMES, build, make_target

    own = next((abi for abi in ABIS.values() if abi.is_ours), None)
    engine = name.partition("-")[2]
    try:
        if name == "native-tflite":
            runner = _tflite_runner(own)
            return RunnerKind(name, (str(runner),), ("tflite",), library=runner.with_name(_TFLITE))
        if name in OWN:
            if own is None:
                pytest.skip("no native runner is built for this machine")
            built = build(make_target(own.name, "linux", engine))
            return RunnerKind(name, _absolute(built.folder, built.command), (RUNTIMES[engine],))
        built = build(make_target("arm64-v8a", "linux", engine))
    except EdgecatError as error:
        pytest.skip(str(error))
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if emulator is None:
        pytest.skip("no qemu-aarch64-static: apt-get install qemu-user-static")
    words = (emulator, "-cpu", "cortex-a72", "-L", str(_cortex_root()), *_absolute(built.folder, built.command))
    return RunnerKind(name, words, (RUNTIMES[engine],), emulated=True)


def _absolute(folder: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """Tests start runners from an empty directory."""
    return tuple(word if word.startswith("--") else str(folder / word) for word in command)


def _cortex_root() -> Path:
    root = cache_directory("tests", "cortex-a72")
    information = root / "proc" / "cpuinfo"
    information.parent.mkdir(parents=True, exist_ok=True)
    information.write_text("".join(_CORTEX.format(core) for core in range(4)))
    return root


def _tflite_runner(own: Abi | None) -> Path:
    """The engine that Android's runner has, linked to a TFLite C library for glibc that an npm package carries."""
    from edge.runner.building.compile import compile_linux

    places = {"x86_64": "linux_amd64", "arm64-v8a": "linux_arm64"}
    if own is None or own.name not in places:
        pytest.skip("no TFLite C library is known for this machine")
    folder = cache_directory("tests", f"{'-'.join(_NPM)}-{own.name}")
    library = folder / _TFLITE
    if not library.exists():
        from edge.runner.building.store import fetch, temporary_folder

        folder.mkdir(parents=True, exist_ok=True)
        with temporary_folder(folder) as temporary:
            fetch(["npm", "pack", "@".join(_NPM), "--ignore-scripts", "--loglevel=error"], _NPM[0], temporary)
            with tarfile.open(next(temporary.glob("*.tgz"))) as archive:
                member = archive.extractfile(f"package/cc_deps/{places[own.name]}/{_TFLITE}")
                assert member is not None
                (temporary / library.name).write_bytes(member.read())
            (temporary / library.name).replace(library)
    # Several test processes may come here at once.
    runner = folder / f"runner-{os.getpid()}"
    compile_linux("tflite", own.name, folder, runner)
    return runner.replace(folder / "runner")
