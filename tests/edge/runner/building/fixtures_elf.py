"""Small ELF files, made by the C compiler of this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge.runner.building.targets import ABIS, Abi

API = ("TfLiteVersion", "TfLiteModelCreate", "TfLiteInterpreterCreate", "TfLiteInterpreterInvoke")


def own_abi() -> Abi:
    """This machine's; skips the test where there is none, or no compiler."""
    own = next((abi for abi in ABIS.values() if abi.is_ours), None)
    if own is None or shutil.which("gcc") is None:
        pytest.skip("no C compiler for Linux on x86_64 or aarch64 here: apt-get install gcc")
    return own


def link(out: Path, source: str, *words: str) -> Path:
    """Compile C source with gcc, `-shared` unless words say otherwise."""
    own_abi()
    shape = () if "-pie" in words else ("-shared", "-fPIC")
    command = ["gcc", "-x", "c", "-", "-x", "none", "-o", str(out), *shape, *words]
    subprocess.run(command, input=source, text=True, check=True)
    return out


def tflite_library(out: Path, *words: str, symbols: tuple[str, ...] = API, soname: str | None = "libtflite.so") -> Path:
    """A library that offers TFLite's C functions (which do nothing) and needs nothing."""
    source = "".join(f"void {symbol}(void) {{}}\n" for symbol in symbols)
    named = () if soname is None else (f"-Wl,-soname,{soname}",)
    return link(out, source, "-nostdlib", *named, *words)
