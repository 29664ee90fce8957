"""The linux flavour: a folder that needs nothing of the device's system but the kernel.

It holds the runner, its runtime from the wheel, and exactly what they need of glibc and libstdc++, the loader included;
so it is started as `./lib/LOADER --library-path lib ./runner`, and a phone, which has no glibc, can run it.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

from edge.runner.building.elf import closure, read_elf
from edge.runner.building.plan import Plan, sources_digest
from edge.runner.building.targets import Abi, Target
from edge.runner.building.toolchain import compiler_version, require_compiler, system_library
from edge.runner.building.wheels import WHEELS, wheel_package
from foundation.errors import ArtifactError
from foundation.files import sha256_file
from foundation.progress import Progress

# Whatever else is needed of the system comes in the same packages as these.
_SYSTEM = ("libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1")


def plan_linux(target: Target) -> Plan:
    """What a linux bundle is made of, and how.

    Raises:
        ArtifactError: no compiler, or no libraries for the processor.
    """
    compiler = require_compiler(target.abi)
    wheel = WHEELS[target.engine]
    system = {name: system_library(compiler, name) for name in (*_SYSTEM, target.abi.loader)}
    absent = [name for name, path in system.items() if path is None]
    if absent:
        raise ArtifactError(f"{compiler} has no {', '.join(absent)}", hint="install its C and C++ libraries")
    made_of = {
        "sources": sources_digest(),
        "compiler": compiler_version(compiler),
        wheel.project: wheel.version,
    } | {name: sha256_file(path) for name, path in system.items() if path is not None}
    loader = target.abi.loader
    return Plan(
        target=target,
        made_of=made_of,
        command=(f"./lib/{loader}", "--library-path", "lib", "./runner"),
        fetch=partial(_fetch, target),
        make=partial(_make, target, compiler),
    )


def _fetch(target: Target, progress: Progress) -> Path:
    return wheel_package(WHEELS[target.engine], target.abi, progress)


def _make(target: Target, compiler: str, package: Path, folder: Path) -> None:
    from edge.runner.building.compile import compile_linux

    runner = folder / "runner"
    compile_linux(target.engine, target.abi.name, package, runner)
    libraries = closure(runner, partial(_find, package, compiler))
    (folder / "lib").mkdir()
    for name, path in libraries.items():
        shutil.copyfile(path, folder / "lib" / name)
    for program in (runner, folder / "lib" / target.abi.loader):
        program.chmod(0o755)
    check_bundle(folder, target.abi)


def _find(package: Path, compiler: str, name: str) -> Path | None:
    """The runtime's own libraries come first; all the rest is the system's."""
    own = [path for path in (package / name, package / "lib" / name) if path.is_file()]
    return own[0] if own else system_library(compiler, name)


def check_bundle(folder: Path, abi: Abi) -> None:
    """See that every ELF file is for this processor and loads on kernels with large pages.

    Raises:
        ArtifactError: one does not.
    """
    for path in (folder / "runner", *sorted((folder / "lib").iterdir())):
        elf = read_elf(path)
        if elf.machine != abi.elf_machine:
            raise ArtifactError(f"{path.name} is for {elf.machine}, not for {abi.name}")
        if elf.alignment < abi.alignment:
            raise ArtifactError(f"{path.name} is aligned to {elf.alignment} bytes; {abi.name} wants {abi.alignment}")
