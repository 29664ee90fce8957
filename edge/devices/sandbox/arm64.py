"""What makes an x86-64 machine look like an arm64 one to the programs of a sandbox."""

from __future__ import annotations

import platform
import shutil
import struct
from pathlib import Path

from edge.devices.system.packages import SUITE, Repository
from foundation.cache import cache_directory
from foundation.errors import DeviceError
from foundation.folders import make_once
from foundation.progress import SILENT, Progress

CPU = "cortex-a76"
_NAMES = ("qemu-aarch64-static", "qemu-aarch64")
_PACKAGE = "qemu-user"

# A program (or shared library) for 64-bit little-endian ARM: ELF header and mask, as QEMU's own registration has them.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

_CORE = """processor\t: {number}
BogoMIPS\t: 125.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp ssbs
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""


def needed() -> bool:
    """Whether arm64 programs need QEMU here."""
    return platform.machine() != "aarch64"


def installed_qemu() -> Path | None:
    """A QEMU that can run without the machine's libraries, installed here; None where there is none."""
    found = (Path(path) for name in _NAMES if (path := shutil.which(name)))
    return next((path for path in found if _is_static(path)), None)


def cached_qemu() -> Path:
    """Where a downloaded one is, or would be."""
    return cache_directory("emulators", f"{_PACKAGE}-{SUITE}") / "qemu-aarch64"


def prepare_qemu(progress: Progress = SILENT) -> Path:
    """QEMU's user mode for arm64: the machine's, else the one in the cache, else downloaded (71 MB, once).

    Raises:
        DeviceError: it cannot be had.
    """
    installed = installed_qemu()
    if installed is not None:
        return installed

    def build(directory: Path) -> None:
        host = {"x86_64": "amd64"}.get(platform.machine(), platform.machine())
        with Repository(host).fetched([_PACKAGE], alone=True, progress=progress) as packages:
            files = (file for package in packages for file in package.files())
            program = next((file.content for file in files if file.path == "usr/bin/qemu-aarch64"), None)
        if program is None:
            raise DeviceError(f"Debian's {_PACKAGE} has no qemu-aarch64", hint="apt-get install qemu-user-static")
        (directory / "qemu-aarch64").write_bytes(program)
        (directory / "qemu-aarch64").chmod(0o755)

    return make_once(cached_qemu().parent, build, progress) / "qemu-aarch64"


def registration(qemu: Path) -> str:
    """The line for binfmt_misc. Flag F opens QEMU now, so that it need not be in the device's file system."""
    return f":qemu-aarch64:M::{_MAGIC}:{_MASK}:{qemu}:F"


def cpuinfo(cores: int) -> str:
    """`/proc/cpuinfo` of that many Cortex-A76: from the host's, LiteRT works out the caches of an ARM and crashes."""
    return "".join(_CORE.format(number=number) for number in range(cores))


def _is_static(program: Path) -> bool:
    """Whether an ELF program names no interpreter."""
    data = program.read_bytes()[: 1 << 16]
    if data[:5] != b"\x7fELF\x02":
        return False
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    return all(struct.unpack_from("<I", data, table + number * size)[0] != 3 for number in range(count))
