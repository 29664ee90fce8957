"""QEMU's command line for the device, and when the device can be used."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from edge.adb.messages import CNXN, HEADER, MAX_PAYLOAD, VERSION, pack_header, payload_checksum, unpack_header
from edge.devices.system.first_process import ADBD_PORT
from edge.devices.system.handover import connect
from edge.devices.vm.image import Image
from foundation.errors import DeviceError, ProtocolError

PROGRAM = "qemu-system-aarch64"
MAKE_FILESYSTEM = "mke2fs"
_SHELL = 2000
_GUEST = "10.0.2.15"
_FAILURE = "Kernel panic"
_ANSWER_SECONDS = 0.3


@dataclass(frozen=True)
class Machine:
    """A virtual machine's make.

    Attributes:
        image: kernel and initial file system.
        memory_bytes: its memory.
        data: image file of its data disk; None holds /data in memory.
        log: takes what it writes on its serial line.
    """

    image: Image
    memory_bytes: int
    data: Path | None
    log: Path

    def command(self) -> list[str]:
        """QEMU's command line. Emulated in software always: a /dev/kvm of the same processor proves nothing.

        The address that adbd is forwarded to lies in the network namespace that QEMU is started in.
        """
        program = find_program(PROGRAM)
        if program is None:
            raise FileNotFoundError(2, "not installed", PROGRAM)
        forward = f"hostfwd=tcp:127.0.0.1:{ADBD_PORT}-{_GUEST}:{ADBD_PORT}"
        disk = (
            []
            if self.data is None
            else [
                *("-drive", f"file={self.data},if=none,id=data,format=raw,cache=unsafe"),
                *("-device", "virtio-blk-device,drive=data"),
            ]
        )
        return [
            *(program, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-M", "virt", "-accel", "tcg,thread=multi", "-cpu", "cortex-a76", "-smp", "1"),
            *("-m", f"{self.memory_bytes >> 20}M"),
            *("-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd)),
            *("-append", "console=ttyAMA0 quiet loglevel=3 panic=-1 rdinit=/init"),
            *("-chardev", f"file,id=log,path={self.log},append=on", "-serial", "chardev:log"),
            *("-netdev", f"user,id=net,restrict=on,{forward}", "-device", "virtio-net-device,netdev=net"),
            *disk,
        ]


def find_program(name: str) -> str | None:
    """A program, also where only root looks for it."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))


def make_data_disk(path: Path, size: int) -> None:
    """An empty ext4 file system in a sparse file.

    Raises:
        DeviceError: it cannot be made.
    """
    program = find_program(MAKE_FILESYSTEM)
    if program is None:
        raise DeviceError(f"no {MAKE_FILESYSTEM} to make the data disk with", hint="apt-get install e2fsprogs")
    with path.open("wb") as stream:
        stream.truncate(size)
    options = ["-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-E", f"root_owner={_SHELL}:{_SHELL}"]
    done = subprocess.run([program, *options, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError(
            "cannot make the data disk", stderr=done.stderr, hint="--data-size of 1M and more; is there space left?"
        )


def wait_until_ready(path: Path, log: Path, timeout: float) -> None:
    """Until adbd in the machine answers: QEMU takes connections long before it does.

    Raises:
        OSError: the machine ended, its kernel gave up, or the time is over.
    """
    deadline = time.monotonic() + timeout
    try:
        while not _answers(path):
            if _last_words(log):
                raise ConnectionAbortedError
            if time.monotonic() > deadline:
                raise TimeoutError(f"adbd did not answer in {timeout:g} s")
    except OSError as error:
        # A machine that ends takes its port with it; why it ended stands in its log.
        raise OSError(_last_words(log) or error.strerror or str(error)) from error


def _last_words(log: Path) -> str | None:
    """The line with which the kernel gave up; None where it did not."""
    lines = log.read_text(errors="replace").splitlines()
    return next((line for line in lines if _FAILURE in line), None)


def _answers(path: Path) -> bool:
    """Whether adbd says CNXN.

    Raises:
        OSError: nobody hands out connections any more.
    """
    greeting = b"host::"
    header = pack_header(CNXN, VERSION, MAX_PAYLOAD, len(greeting), payload_checksum(greeting))
    with connect(path) as door:
        door.settimeout(_ANSWER_SECONDS)
        with contextlib.suppress(TimeoutError, ConnectionError, ProtocolError):
            door.sendall(header + greeting)
            answer = door.recv(HEADER.size, socket.MSG_WAITALL)
            return len(answer) == HEADER.size and unpack_header(answer, MAX_PAYLOAD).command == CNXN
    return False
