"""The android flavour: a program for bionic (API 26 and later) and the TFLite library beside it, linked without NDK."""

from __future__ import annotations

import shutil
from functools import cache, partial
from pathlib import Path

from edge.runner.building.elf import Elf, read_elf
from edge.runner.building.plan import Plan, sources_digest
from edge.runner.building.targets import Abi, Target
from edge.runner.building.tflite import NPM_INTEGRITY, NPM_PACKAGE, NPM_VERSION, given_tflite, npm_tflite
from edge.runner.building.toolchain import require_zig
from foundation.errors import ArtifactError
from foundation.files import sha256_file
from foundation.progress import Progress

INTERPRETER = "/system/bin/linker64"
# What the runner itself may be linked to, besides TFLite.
LIBRARIES = frozenset({"libc.so", "libm.so", "libdl.so", "liblog.so"})
ALIGNMENT = 0x10000


def plan_android(target: Target, library: Path | None) -> Plan:
    """What an Android runner is made of, and how.

    Args:
        target: with the flavour "android".
        library: the user's TFLite library or archive; None for the npm package's.

    Raises:
        ArtifactError: zig is not installed, or the library is not fit.
    """
    made_of = {"sources": sources_digest(), "ziglang": require_zig()}
    if library is None:
        made_of[f"{NPM_PACKAGE} {NPM_VERSION}"] = NPM_INTEGRITY
    else:
        given_tflite(library, target.abi)
        made_of[f"given {library.name}"] = sha256_file(library)
    return Plan(
        target=target,
        made_of=made_of,
        command=("./runner",),
        fetch=partial(_fetch, target.abi, library),
        make=partial(_make, target),
    )


def _fetch(abi: Abi, library: Path | None, progress: Progress) -> Path:
    return npm_tflite(abi, progress) if library is None else given_tflite(library, abi)


def _make(target: Target, library: Path, folder: Path) -> None:
    from edge.runner.building.compile import compile_android

    include = library.parent / "include"
    runner = folder / "runner"
    compile_android(target.abi.name, library, include if include.is_dir() else None, runner)
    shutil.copyfile(library, folder / library.name)
    runner.chmod(0o755)
    faults = android_faults(read_elf(runner), read_elf(library), target.abi)
    if faults:
        raise ArtifactError(f"the runner would not start on Android: {'; '.join(faults)}")


def android_faults(runner: Elf, library: Elf, abi: Abi) -> list[str]:
    """Why Android's loader would refuse a runner; empty if it would not.

    Args:
        runner: the program.
        library: the TFLite library that it is linked to.
        abi: what it is for.
    """
    faults = []
    if runner.machine != abi.elf_machine or runner.kind != "ET_DYN":
        faults.append(f"it is {runner.kind} for {runner.machine}, not position-independent for {abi.elf_machine}")
    if runner.interpreter != INTERPRETER:
        faults.append(f"it asks for the loader {runner.interpreter}, not {INTERPRETER}")
    foreign = set(runner.needed) - LIBRARIES - {library.soname}
    if foreign or library.soname not in runner.needed:
        faults.append(f"it needs {', '.join(runner.needed)}")
    if runner.runpath != "$ORIGIN":
        faults.append(f"it looks for libraries in {runner.runpath}, not beside itself")
    if runner.alignment < ALIGNMENT:
        faults.append(f"its segments are aligned to {runner.alignment} bytes")
    if runner.has_tls:
        faults.append("it has thread-local variables, which bionic's loader takes only since API 29")
    unknown = runner.undefined - bionic_symbols() - library.defined
    if unknown:
        faults.append(f"neither bionic since API 26 nor TFLite has {', '.join(sorted(unknown))}")
    return faults


@cache
def bionic_symbols() -> frozenset[str]:
    """What bionic's libc and libm export since API 26: the kept list `bionic.txt`."""
    lines = Path(__file__).with_name("bionic.txt").read_text().splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())
