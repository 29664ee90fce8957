"""What can be built: an engine, for a processor, in a flavour."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Literal

from foundation.errors import UsageError

Engine = Literal["litert", "executorch", "executorch-kernels", "tflite"]


@dataclass(frozen=True)
class Abi:
    """A processor architecture, under Android's name for it.

    Attributes:
        name: Android's name, as `ro.product.cpu.abi` and `--abi` have it.
        machine: the kernel's name, as `uname -m` has it.
        elf_machine: `e_machine` of its ELF files.
        loader: file name of glibc's dynamic loader.
        triplet: prefix of Debian's cross tools.
        alignment: the least alignment in bytes of the segments that we link: the largest page that a kernel may have.
    """

    name: str
    machine: str
    elf_machine: str
    loader: str
    triplet: str
    alignment: int

    @property
    def is_ours(self) -> bool:
        """Whether this machine runs it natively, under Linux."""
        return sys.platform == "linux" and platform.machine() == self.machine


ABIS = {
    abi.name: abi
    for abi in (
        Abi("x86_64", "x86_64", "EM_X86_64", "ld-linux-x86-64.so.2", "x86_64-linux-gnu", 0x1000),
        Abi("arm64-v8a", "aarch64", "EM_AARCH64", "ld-linux-aarch64.so.1", "aarch64-linux-gnu", 0x10000),
    )
}
# The engines of each flavour. `executorch` computes what is delegated to XNNPACK whole; `executorch-kernels` carries
# ExecuTorch's own kernels too, twice its size, and is for programs that the other refuses (OPERATOR_MISSING).
ENGINES: dict[str, tuple[Engine, ...]] = {
    "linux": ("litert", "executorch", "executorch-kernels"),
    "android": ("tflite",),
}
# The model format (a manifest's `runtime`) that an engine runs.
RUNTIMES: dict[Engine, str] = {
    "litert": "tflite",
    "tflite": "tflite",
    "executorch": "executorch",
    "executorch-kernels": "executorch",
}


@dataclass(frozen=True)
class Target:
    """One runner that can be built.

    Attributes:
        abi: the processor.
        flavour: "linux" (glibc, brings its own loader and libraries) or "android" (bionic).
        engine: "litert", "executorch", "executorch-kernels" (all linux) or "tflite" (android).
    """

    abi: Abi
    flavour: str
    engine: Engine

    @property
    def name(self) -> str:
        """For example `litert-linux-x86_64`."""
        return f"{self.engine}-{self.flavour}-{self.abi.name}"

    @property
    def has_kernels(self) -> bool:
        """Whether it carries ExecuTorch's kernels, for operators that are not delegated."""
        return self.engine == "executorch-kernels"


def make_target(abi: str, flavour: str, engine: str) -> Target:
    """The target that these words name.

    Raises:
        UsageError: there is no such target.
    """
    if flavour not in ENGINES:
        raise UsageError(f"no runner flavour {flavour!r}", hint=f"one of {', '.join(ENGINES)}")
    if abi not in ABIS:
        raise UsageError(f"no runner is built for ABI {abi!r}", hint=f"one of {', '.join(ABIS)}")
    chosen = next((known for known in ENGINES[flavour] if known == engine), None)
    if chosen is None:
        raise UsageError(
            f"the {flavour} flavour has no engine {engine!r}",
            hint="; ".join(f"{name}: {', '.join(engines)}" for name, engines in ENGINES.items()),
        )
    return Target(ABIS[abi], flavour, chosen)
