"""Starts virtual machines, and says what is missing where they cannot run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from edge.devices.sandbox.launch import missing_in_kernel
from edge.devices.system import namespaces, packages
from edge.devices.system.launch import IsolatedDevice, Launch, launch
from edge.devices.vm.image import ABI, Image, image_directory, prepare_image
from edge.devices.vm.machine import PROGRAM, find_program, make_data_disk
from foundation.errors import DeviceError, UsageError
from foundation.progress import SILENT, Progress

KIND = "vm"
PAGE_BYTES = 4096
MEMORY_BYTES = 512 << 20
START_SECONDS = 90.0
_LEAST_MEMORY_BYTES = 96 << 20


def missing(abi: str, page_bytes: int = PAGE_BYTES) -> list[str]:
    """What keeps a virtual machine from running here, each with what brings it; empty where nothing does.

    Raises:
        UsageError: no such ABI or page size.
    """
    _check(abi)
    if not namespaces.supported():
        return ["virtual machines need Linux on x86_64 or aarch64"]
    reasons = list(missing_in_kernel())
    if find_program(PROGRAM) is None:
        reasons.append(f"no {PROGRAM}: apt-get install --no-install-recommends qemu-system-arm")
    return reasons if built(abi, page_bytes) else reasons + packages.missing()


def built(abi: str, page_bytes: int = PAGE_BYTES) -> bool:
    """Whether nothing has to be fetched any more.

    Raises:
        UsageError: no such ABI or page size.
    """
    _check(abi)
    return image_directory(page_bytes).is_dir()


def build(abi: str, *, page_bytes: int = PAGE_BYTES, progress: Progress = SILENT) -> Image:
    """Have kernel and initial file system in the cache.

    Raises:
        DeviceError: they cannot be had; see `missing`.
        UsageError: no such ABI or page size, or the cache cannot be written.
    """
    _check(abi)
    return prepare_image(page_bytes, progress)


def start(
    abi: str = ABI,
    *,
    data_bytes: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
    page_bytes: int = PAGE_BYTES,
    port: int | None = None,
    detached: bool = False,
) -> IsolatedDevice:
    """Start a virtual machine; what it needs is built first where the cache does not have it.

    Args:
        abi: `arm64-v8a`.
        data_bytes: size of an ext4 disk for /data; None holds /data in the machine's memory.
        memory_bytes: the machine's memory, at least 96 MiB.
        page_bytes: of its kernel, 4096 or 16384.
        port: also listen on 127.0.0.1, without asking for a key; 0 takes any free port; None listens nowhere.
        detached: whether it lives on without us.

    Raises:
        DeviceError: it cannot run here, or did not start; carries the last lines of its serial line.
        UsageError: options that it does not have, or the cache cannot be written.
    """
    reasons = missing(abi, page_bytes)
    if reasons:
        raise DeviceError(f"vm:{abi} cannot run here", hint="; ".join(reasons))
    if memory_bytes < _LEAST_MEMORY_BYTES:
        raise UsageError(f"{memory_bytes >> 20} MiB is too little memory to start", hint="use 96M or more")
    image = build(abi, page_bytes=page_bytes)
    directory = Path(tempfile.mkdtemp(prefix=f"edgecat-{KIND}-"))
    try:
        arguments = ["--image", str(image.kernel.parent.resolve()), "--memory-bytes", str(memory_bytes)]
        arguments += ["--timeout", str(START_SECONDS - 5)]
        if data_bytes is not None:
            make_data_disk(directory / "data.img", data_bytes)
            arguments += ["--data", str(directory / "data.img")]
        how = Launch(KIND, abi, arguments, START_SECONDS)
        return launch(how, directory=directory, port=port, detached=detached)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _check(abi: str) -> None:
    if abi != ABI:
        raise UsageError(f"no virtual machine for {abi!r}", hint=f"use vm:{ABI}")
