"""Compiles the native runner's C and C++ sources: GNU compilers for glibc, zig for bionic."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from edge.runner.building.targets import ABIS
from edge.runner.building.toolchain import ZIG_HINT, compiler_hint, compiler_name
from foundation.cache import cache_directory
from foundation.errors import ArtifactError

SOURCES = Path(__file__).parent.parent / "native"
CORE = (
    *("benchmark", "classifier", "crc32", "fault", "frames", "input_table"),
    *("main", "model_file", "options", "policy", "session", "sha256"),
)
# No fused multiply-add: two processors are to give equal scores for equal logits.
_COMPILE = ("-O2", "-fPIE", "-ffp-contract=off")
_C = ("-std=c11", "-D_GNU_SOURCE", *_COMPILE, "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
_LINK = ("-pie", "-Wl,--allow-shlib-undefined", "-s")
# The largest page that a kernel may have.
_ALIGNMENT = "-Wl,-z,max-page-size={}"
_ANDROID_ALIGNMENT = 0x10000
_BESIDE = "-Wl,-rpath,$ORIGIN/lib:$ORIGIN"
# Debug output of the wheel's headers is switched by these; the wheel's libraries were built with them.
_EXECUTORCH = ("-std=c++17", "-DC10_USING_CUSTOM_GENERATED_MACROS", "-DET_EVENT_TRACER_ENABLED", "-Wall", "-Wextra")
_EXECUTORCH_LIBRARIES = ("executorch", "executorch_threadpool", "executorch_backend_xnnpack")
_ZIG_MACHINE = {"x86_64": "x86_64", "arm64-v8a": "aarch64"}
_SECONDS = 300


def compile_linux(engine: Literal["litert", "executorch"], abi: str, libraries: Path, out: Path) -> None:
    """Compile a runner for glibc. It looks for its libraries beside itself and in `lib` beside itself.

    Args:
        engine: the runtime that it is linked to.
        abi: `x86_64` or `arm64-v8a`.
        libraries: the runtime's package as its wheel has it: `ai_edge_litert` or `executorch`.
        out: the program's file; it is there only if everything went well.

    Raises:
        ArtifactError: no compiler, or it refuses.
    """
    target = ABIS[abi]
    hint = compiler_hint(target)
    version = f'-D{engine.upper()}_VERSION="{_wheel_version(libraries)}"'
    gcc, gxx = compiler_name(target, "gcc"), compiler_name(target)
    with tempfile.TemporaryDirectory(prefix="edgecat-compile-") as name:
        folder = Path(name)
        _run([gcc, "-c", *_C, *(str(SOURCES / f"{part}.c") for part in CORE)], folder, hint)
        if engine == "litert":
            _run([gcc, "-c", *_C, version, str(SOURCES / "litert.c")], folder, hint)
            link = [gcc, *_LINK, str(libraries / "libLiteRt.so")]
        else:
            include = libraries / "include"
            paths = ("-isystem", str(include), "-isystem", str(include / "executorch/runtime/core/portable_type/c10"))
            flags = (*_COMPILE, *_EXECUTORCH, "-Werror", version, *paths)
            _run([gxx, "-c", *flags, str(SOURCES / "executorch.cc")], folder, hint)
            # The XNNPACK backend is found by its static constructor: nothing refers to it by name.
            wanted = (f"-l{library}" for library in _EXECUTORCH_LIBRARIES)
            link = [gxx, *_LINK, f"-L{libraries / 'lib'}", "-Wl,--no-as-needed", *wanted, "-Wl,--as-needed"]
        objects = sorted(path.name for path in folder.glob("*.o"))
        _run([*link[:1], *objects, *link[1:], _BESIDE, _ALIGNMENT.format(target.alignment), "-o", "runner"], folder, hint)
        _place(folder / "runner", out)


def compile_android(
    abi: str,
    tflite_library: Path,
    headers: Path | None,  # noqa: ARG001 - what we call of TFLite is declared in our own sources
    out: Path,
    zig: tuple[str, ...] = (sys.executable, "-m", "ziglang"),
) -> None:
    """Link a runner for bionic (API 26 and later), without NDK.

    zig has no libc for Android, so the program is freestanding: the C library's names come from `android/libc.c`, its
    prototypes from `platform.h`, and its start is `android/start.c`.

    Args:
        abi: `x86_64` or `arm64-v8a`.
        tflite_library: TFLite's C API for this ABI; it must stand beside the program on the device.
        headers: not needed.
        out: the program's file; it is there only if everything went well.
        zig: words that start zig.

    Raises:
        ArtifactError: no zig, or it refuses.
    """
    cc = [*zig, "cc", "-target", f"{_ZIG_MACHINE[abi]}-linux-none"]
    bionic = SOURCES / "android"
    with tempfile.TemporaryDirectory(prefix="edgecat-compile-") as name:
        folder = Path(name)
        # By path and never by -lc: zig has no libc for this target and says so.
        _run([*cc, "-shared", "-nostdlib", "-w", "-Wl,-soname,libc.so", str(bionic / "libc.c"), "-o", "libc.so"], folder, ZIG_HINT)
        sources = [str(SOURCES / f"{part}.c") for part in (*CORE, "tflite")] + [str(bionic / "start.c")]
        freestanding = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-DEDGECAT_BIONIC")
        flags = (*_C[:1], *_COMPILE, "-Wall", "-Wextra", "-Werror", *freestanding)
        loader = ("-Wl,--dynamic-linker=/system/bin/linker64", "-Wl,-e,_start", "-Wl,-rpath,$ORIGIN")
        libraries = ("libc.so", str(tflite_library.resolve()))
        link = (*_LINK, _ALIGNMENT.format(_ANDROID_ALIGNMENT), *loader)
        _run([*cc, *flags, *sources, *libraries, *link, "-o", "runner"], folder, ZIG_HINT)
        _place(folder / "runner", out)


def _wheel_version(package: Path) -> str:
    """Of the wheel that a package directory was unpacked from, by the dist-info beside it."""
    found = sorted(package.parent.glob(f"{package.name}-*.dist-info"))
    match = re.fullmatch(rf"{package.name}-(\d[\w.]*)\.dist-info", found[0].name) if len(found) == 1 else None
    if match is None:
        raise ArtifactError(
            f"{package}: cannot tell which version this is: no {package.name}-VERSION.dist-info beside it",
            hint="unpack the whole wheel",
        )
    return match[1]


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
