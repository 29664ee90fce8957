"""bionic's names on top of glibc, so that what was linked for Android runs here: the very program and TFLite library.

Not bionic: neither its loader nor its C library. But the program's own start, its hand-written prototypes and numbers,
and TFLite's Android build are the real ones.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from edge.runner.building.elf import read_elf
from edge.runner.building.targets import Abi
from edge.runner.building.toolchain import compiler_name

_SOURCE = Path(__file__).with_name("bionic_shim.c")
# The libraries that bionic's names are spread over: one file under each name here.
_LIBRARIES = ("libc.so", "libm.so", "libdl.so", "liblog.so")
_JUMP = {
    "x86_64": "jmp *shim_slots+{offset}(%rip)",
    "arm64-v8a": "adrp x16, shim_slots+{offset}\n ldr x16, [x16, #:lo12:shim_slots+{offset}]\n br x16",
}
# The standard streams, of 152 bytes each.
_DATA = {"__sF": ".zero 456", "stderr": ".quad __sF + 304"}
_VERSIONS = "LIBC { global: *; };\nLIBC_O { global: strtod_l; } LIBC;\n"


def build_shim(abi: Abi, programs: list[Path], folder: Path) -> None:
    """Make the libraries in `folder` that these programs and libraries ask for."""
    elves = [read_elf(path) for path in programs]
    offered = frozenset(name for elf in elves for name in elf.defined)
    wanted = sorted(frozenset(name for elf in elves for name in elf.undefined) - offered - _DATA.keys())
    (folder / "jumps.s").write_text(_assembly(wanted, _JUMP[abi.name]))
    (folder / "versions").write_text(_VERSIONS)
    compiler = [compiler_name(abi, "gcc"), "-shared", "-fPIC", "-O1", "-D_GNU_SOURCE"]
    # glibc's names are found from here; they are hidden behind bionic's for whatever asks libc.so.
    _run([*compiler, str(_SOURCE), "-Wl,--no-as-needed", "-lm", "-ldl", "-o", "libshim.so"], folder)
    options = [
        "-nostdlib",
        "-Wl,--version-script=versions",
        "-Wl,-soname,libc.so",
        "-Wl,-Bsymbolic",
        "-Wl,--no-as-needed",
    ]
    _run([*compiler, *options, "jumps.s", "-L.", "-lshim", "-o", _LIBRARIES[0]], folder)
    for name in _LIBRARIES[1:]:
        (folder / name).symlink_to(_LIBRARIES[0])


def _assembly(names: list[str], jump: str) -> str:
    lines = [".text"]
    for number, name in enumerate(names):
        lines += [f".globl {name}", f".type {name}, %function", f"{name}:", f" {jump.format(offset=8 * number)}"]
    lines += [".section .rodata", *(f'.Lname{number}: .asciz "{name}"' for number, name in enumerate(names))]
    lines += [".data", ".balign 8"]
    tables = {
        "shim_names": "\n".join(f".quad .Lname{number}" for number in range(len(names))) + "\n.quad 0",
        "shim_slots": f".zero {8 * len(names)}",
    }
    for name, content in (tables | _DATA).items():
        lines += [f".globl {name}", f".type {name}, %object", f"{name}:", content, f".size {name}, . - {name}"]
    return "\n".join([*lines, '.section .note.GNU-stack, "", %progbits']) + "\n"


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
