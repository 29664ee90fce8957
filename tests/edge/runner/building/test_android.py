"""The Android runner's ELF file: what bionic's loader looks at. There is no bionic here to run it."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest

from edge.runner.building import ABIS, BuiltRunner, build, make_target, missing
from edge.runner.building.android import android_faults, bionic_symbols
from edge.runner.building.elf import Elf, read_elf
from edge.runner.building.tflite import SYSTEM_LIBRARIES

LIBRARY = "libtensorflowlite_jni.so"


@functools.cache
def built(abi: str) -> BuiltRunner:
    lacks = missing(abi, "android", ask=True)
    if lacks:
        pytest.skip("; ".join(f"{lack.what}: {lack.hint}" for lack in lacks))
    return build(make_target(abi, "android", "tflite"))


@pytest.fixture(params=ABIS)
def runner(request: pytest.FixtureRequest) -> BuiltRunner:
    return built(request.param)


@pytest.fixture
def program(runner: BuiltRunner) -> Elf:
    return read_elf(runner.folder / "runner")


@pytest.fixture
def library(runner: BuiltRunner) -> Elf:
    return read_elf(runner.folder / LIBRARY)


def test_it_is_the_program_and_its_library(runner: BuiltRunner) -> None:
    assert set(runner.files) == {"runner", LIBRARY}
    assert runner.files["runner"].executable
    assert runner.command == ("./runner",)
    assert runner.bytes < 6_000_000


def test_the_program_is_what_bionics_loader_takes(runner: BuiltRunner, program: Elf, library: Elf) -> None:
    assert (program.machine, program.kind) == (runner.target.abi.elf_machine, "ET_DYN")
    assert program.interpreter == "/system/bin/linker64"
    assert set(program.needed) == {"libc.so", LIBRARY}
    assert program.runpath == "$ORIGIN"
    assert program.alignment >= 0x10000
    assert not program.has_tls
    assert program.undefined <= bionic_symbols() | library.defined
    # The stub of libc.so that it is linked to has no versions, so whatever versions a device's has will do.
    assert set(program.versions_needed) <= {LIBRARY}
    assert program.versions_needed.get(LIBRARY, frozenset()) <= library.versions_defined
    assert android_faults(program, library, runner.target.abi) == []


def test_the_library_needs_nothing_that_android_does_not_have(library: Elf) -> None:
    assert set(library.needed) <= SYSTEM_LIBRARIES
    versions = frozenset().union(*library.versions_needed.values())
    assert versions <= {"LIBC", "LIBC_N", "LIBC_O"}, "of API 26 and before"


def test_the_library_limits_it_to_small_pages(runner: BuiltRunner, library: Elf) -> None:
    """TFLite 2.14 was built before there were phones with larger ones; the linux bundle serves those."""
    assert runner.page_bytes == library.alignment == 4096


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"machine": "EM_386"}, "it is ET_DYN for EM_386"),
        ({"kind": "ET_EXEC"}, "it is ET_EXEC"),
        ({"interpreter": "/lib64/ld-linux-x86-64.so.2"}, "it asks for the loader"),
        ({"needed": ("libc.so", LIBRARY, "libgcc_s.so.1")}, "it needs libc.so"),
        ({"needed": ("libc.so",)}, "it needs libc.so"),
        ({"runpath": None}, "it looks for libraries in None"),
        ({"alignment": 4096}, "aligned to 4096 bytes"),
        ({"has_tls": True}, "thread-local"),
        ({"undefined": frozenset({"getrandom", "malloc"})}, "has getrandom"),
    ],
)
def test_each_fault_is_found(
    program: Elf, library: Elf, runner: BuiltRunner, change: dict[str, object], fault: str
) -> None:
    (found,) = android_faults(replace(program, **change), library, runner.target.abi)  # type: ignore[arg-type]
    assert fault in found


def test_the_list_of_symbols_is_bionics() -> None:
    """Of glibc alone, or of bionic after API 26, as `introduced=` in bionic's libc.map.txt says."""
    later = {"getrandom", "memfd_create", "aligned_alloc", "reallocarray", "syncfs", "iconv", "getloadavg", "ftok64"}
    glibc = {"__libc_start_main", "__isoc99_sscanf", "__errno_location", "secure_getenv", "error_t", "qsort_r"}
    assert not bionic_symbols() & (later | glibc)
    assert {"__libc_init", "__errno", "malloc", "clock_gettime", "strtod_l", "expf"} <= bionic_symbols()
