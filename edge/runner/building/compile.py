"""Compiles the native runner's C and C++ sources: GNU compilers for glibc, zig for bionic."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from edge.runner.building.targets import ABIS
from edge.runner.building.toolchain import ZIG_HINT, compiler_hint, compiler_name
from foundation.cache import cache_directory
from foundation.errors import ArtifactError

SOURCES = Path(__file__).parent.parent / "native"
CORE = (
    *("benchmark", "classifier", "crc32", "fault", "frames", "input_table"),
    *("main", "model_file", "options", "policy", "portable", "profile", "session", "sha256"),
)
# No fused multiply-add: two processors are to give equal scores for equal logits.
_COMPILE = ("-O3", "-fPIE", "-ffp-contract=off")
_C = ("-std=c11", "-D_GNU_SOURCE", *_COMPILE, "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_LINK = ("-pie", "-Wl,--allow-shlib-undefined", "-s")
# The largest page that a kernel may have.
_ALIGNMENT = "-Wl,-z,max-page-size={}"
_ANDROID_ALIGNMENT = 0x10000
_BESIDE = "-Wl,-rpath,$ORIGIN/lib:$ORIGIN"
# The wheel's libraries were built with these macros.
_EXECUTORCH = (
    *("-std=c++17", "-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_EVENT_TRACER_ENABLED"),
    *("-Wall", "-Wextra", "-Werror"),
)
_ZIG_MACHINE = {"x86_64": "x86_64", "arm64-v8a": "aarch64"}
_SECONDS = 300


def compile_linux(engine: str, abi: str, libraries: Path, out: Path) -> None:
    """Compile a runner for glibc. It looks for its libraries beside itself and in `lib` beside itself.

    Args:
        engine: the runtime that it is linked to: `litert`, `executorch` or `executorch-kernels`.
        abi: `x86_64` or `arm64-v8a`.
        libraries: the runtime's package as its wheel has it: `ai_edge_litert` or `executorch`.
        out: the program's file; it is there only if everything went well.

    Raises:
        ArtifactError: no compiler, or it refuses.
    """
    target = ABIS[abi]
    hint = compiler_hint(target)
    with tempfile.TemporaryDirectory(prefix="edgecat-compile-") as name:
        folder = Path(name)
        gcc = compiler_name(target, "gcc")
        _run([gcc, "-c", *_C, *(str(SOURCES / f"{part}.c") for part in CORE)], folder, hint)
        if engine.startswith("executorch"):
            program, linked = compiler_name(target), _executorch_libraries(libraries, engine)
            _run([program, "-c", *_executorch_flags(libraries), str(SOURCES / "executorch.cc")], folder, hint)
        else:
            program, linked = gcc, [str(libraries / "libLiteRt.so")]
            _run([gcc, "-c", *_C, _version(libraries), str(SOURCES / "litert.c")], folder, hint)
        objects = sorted(path.name for path in folder.glob("*.o"))
        link = [*_LINK, _ALIGNMENT.format(target.alignment), _BESIDE]
        _run([program, *objects, *linked, *link, "-o", "runner"], folder, hint)
        _place(folder / "runner", out)


def _executorch_flags(package: Path) -> list[str]:
    include = package / "include"
    paths = (include, include / "executorch/runtime/core/portable_type/c10")
    return [*_COMPILE, *_EXECUTORCH, _version(package), *(word for path in paths for word in ("-isystem", str(path)))]


def _executorch_libraries(package: Path, engine: str) -> list[str]:
    names = ["executorch", "executorch_threadpool", "executorch_backend_xnnpack"]
    if engine == "executorch-kernels":
        names.append("executorch_kernels_optimized")
    # The XNNPACK backend and the kernels announce themselves when they are loaded: nothing refers to them by name.
    return [f"-L{package / 'lib'}", "-Wl,--no-as-needed", *(f"-l{name}" for name in names), "-Wl,--as-needed"]


def compile_android(
    abi: str,
    tflite_library: Path,
    headers: Path | None,  # noqa: ARG001 - what we call of TFLite is declared in our own sources
    out: Path,
    compiler: tuple[str, ...] | None = None,
) -> None:
    """Link a runner for bionic (API 26 and later), without NDK.

    No compiler here has a libc for Android, so the program is freestanding: the C library's names come from
    `android/libc.c`, its prototypes from `platform.h`, and its start is `android/start.c`.

    Args:
        abi: `x86_64` or `arm64-v8a`.
        tflite_library: TFLite's C API for this ABI; it must stand beside the program on the device.
        headers: not needed.
        out: the program's file; it is there only if everything went well.
        compiler: words that start a C compiler and linker for the ABI; None for zig.

    Raises:
        ArtifactError: no compiler, or it refuses.
    """
    cc = compiler or (sys.executable, "-m", "ziglang", "cc", "-target", f"{_ZIG_MACHINE[abi]}-linux-none")
    bionic = SOURCES / "android"
    with tempfile.TemporaryDirectory(prefix="edgecat-compile-") as name:
        folder = Path(name)
        # By path and never by -lc: that would be another libc, or none.
        _run(
            [*cc, "-shared", "-nostdlib", "-w", "-Wl,-soname,libc.so", str(bionic / "libc.c"), "-o", "libc.so"],
            folder,
            ZIG_HINT,
        )
        sources = [str(SOURCES / f"{part}.c") for part in (*CORE, "tflite")] + [str(bionic / "start.c")]
        freestanding = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-DEDGECAT_BIONIC")
        flags = (*_C[:1], *_COMPILE, "-Wall", "-Wextra", "-Werror", *freestanding)
        loader = ("-Wl,--dynamic-linker=/system/bin/linker64", "-Wl,-e,_start", "-Wl,-rpath,$ORIGIN")
        libraries = ("libc.so", str(tflite_library.resolve()))
        link = (*_LINK, _ALIGNMENT.format(_ANDROID_ALIGNMENT), *loader)
        _run([*cc, *flags, *sources, *libraries, *link, "-o", "runner"], folder, ZIG_HINT)
        _place(folder / "runner", out)


def _version(package: Path) -> str:
    """The macro that tells a runtime's version: that of the wheel, by the dist-info beside its package."""
    names = [path.name for path in package.parent.glob(f"{package.name}-*.dist-info")]
    match = re.fullmatch(rf"{package.name}-(\d[\w.]*)\.dist-info", names[0]) if len(names) == 1 else None
    if match is None:
        raise ArtifactError(
            f"cannot tell which version {package} is: there is no {package.name}-VERSION.dist-info beside it",
            hint="unpack the whole wheel",
        )
    return f'-D{"LITERT" if package.name == "ai_edge_litert" else "EXECUTORCH"}_VERSION="{match[1]}"'


def _run(command: list[str], folder: Path, hint: str) -> None:
    environment = {"ZIG_GLOBAL_CACHE_DIR": str(cache_directory("zig")), **os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ArtifactError(f"the native runner cannot be compiled: {error}", hint=hint) from error
    if done.returncode != 0:
        said = [line.strip() for line in done.stderr.splitlines() if re.search(r"error|undefined|No module", line)]
        words = " | ".join((said or done.stderr.strip().splitlines() or ["no word"])[:3])
        raise ArtifactError(f"{Path(command[0]).name} [exit code {done.returncode}] says: {words}", hint=hint)


def _place(program: Path, out: Path) -> None:
    """Under its name at once, or not at all."""
    temporary = out.with_name(f".{out.name}.new")
    temporary.write_bytes(program.read_bytes())
    temporary.chmod(0o755)
    temporary.replace(out)
