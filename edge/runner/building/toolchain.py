"""The compilers of this machine, and the system libraries that come with them."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
from functools import cache
from pathlib import Path

from edge.runner.building.targets import Abi
from foundation.errors import ArtifactError

# The version that runners were tried with; zig's command line still changes between versions.
ZIG = "0.17.0"


def compiler_name(abi: Abi, program: str = "g++") -> str:
    """What the GNU compiler for a processor is called here: plain for our own, with a prefix for another."""
    return program if abi.is_ours else f"{abi.triplet}-{program}"


def find_compiler(abi: Abi) -> str | None:
    """Path of the C++ compiler for a processor, or None."""
    return shutil.which(compiler_name(abi))


def require_compiler(abi: Abi) -> str:
    """Path of the C++ compiler for a processor.

    Raises:
        ArtifactError: there is none.
    """
    found = find_compiler(abi)
    if found is None:
        raise ArtifactError(
            f"no compiler for {abi.name}: {compiler_name(abi)} is not installed", hint=compiler_hint(abi)
        )
    return found


def compiler_hint(abi: Abi) -> str:
    """The command that brings the compiler."""
    return f"apt-get install g++{'' if abi.is_ours else f'-{abi.triplet}'.replace('_', '-')}"


@cache
def compiler_version(compiler: str) -> str:
    """The first line that a compiler says of itself."""
    return _ask(compiler, "--version").partition("\n")[0]


@cache
def system_library(compiler: str, name: str) -> Path | None:
    """The file of a system library that programs of this compiler run with, or None."""
    answer = _ask(compiler, f"-print-file-name={name}").strip()
    path = Path(answer)
    return path.resolve() if path.is_absolute() and path.exists() else None


def zig_version() -> str | None:
    """Version of the ziglang package in the running environment, or None."""
    try:
        return importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        return None


def require_zig() -> str:
    """Version of the ziglang package.

    Raises:
        ArtifactError: it is not installed.
    """
    found = zig_version()
    if found is None:
        raise ArtifactError("the android flavour is linked by zig, which is not installed", hint=ZIG_HINT)
    return found


ZIG_HINT = f"pip install ziglang=={ZIG} (or edgecat[android]; 411 MB)"


def _ask(compiler: str, question: str) -> str:
    try:
        return subprocess.run([compiler, question], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ArtifactError(f"{compiler} does not work: {error}") from error
