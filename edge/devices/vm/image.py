"""Kernel and initial file system of the virtual machine, built without root and kept in the cache."""

from __future__ import annotations

import hashlib
import lzma
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.devices.system.layout import KIND_PROPERTIES, device_properties, environment, property_lines
from edge.devices.system.packages import SUITE, Package, Repository
from edge.devices.system.rootfs import ADBD, prepare_rootfs, rootfs_directory
from foundation.cache import cache_directory
from foundation.errors import DeviceError, UsageError
from foundation.folders import make_once
from foundation.progress import SILENT, Progress

ABI = "arm64-v8a"
# Meta-packages: each stands for the newest kernel of its kind.
_KERNELS = {4096: "linux-image-cloud-arm64", 16384: "linux-image-arm64-16k"}
_EDITION = 1
_PROPERTIES = property_lines(device_properties("vm", ABI))

# What the board's devices need, each after what it needs itself; what a kernel has built in is not in its package.
_MODULES = (
    *("virtio", "virtio_ring", "virtio_mmio", "failover", "net_failover", "virtio_net", "virtio_blk"),
    *("crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4"),
)
_MODULE_DIRECTORY = "vendor/lib/modules"

_INIT = """#!/system/bin/sh
export PATH=/system/bin
toybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
toybox mount -t proc -o nosuid,nodev,noexec proc /proc
toybox mount -t sysfs -o ro,nosuid,nodev,noexec sys /sys
toybox mkdir -p /dev/pts
toybox mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
toybox chmod 666 /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/ptmx
while read -r module; do toybox insmod /MODULES/$module; done </MODULES/order
toybox ifconfig lo 127.0.0.1 up
tries=0
while [ ! -e /sys/class/net/eth0 ] && [ $((tries += 1)) -lt 200 ]; do toybox sleep 0.02; done
toybox ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
toybox hostname edgecat
if [ -e /dev/vda ]; then
  toybox mount -t ext4 -o nosuid,nodev /dev/vda /data
else
  toybox mount -t tmpfs -o nosuid,nodev data /data
fi
toybox mkdir -p /data/local/tmp /data/media/0
toybox chmod 771 /data
toybox chown -R 2000:2000 /data/local /data/media
toybox mount --bind /data/media/0 /sdcard
toybox mount -o remount,bind,nosuid,nodev,noexec /sdcard
toybox mount -o remount,ro /
cd /
@ENVIRONMENT@
while :; do
  # As on a phone, programs run as `shell`.
  toybox su -p shell -c "export PATH=$PATH; exec @ADBD@"
  print "adbd ended: $?"
  toybox sleep 0.2
done
"""


@dataclass(frozen=True)
class Image:
    """What QEMU is started with.

    Attributes:
        kernel: the kernel.
        initrd: the initial file system: a cpio archive, not compressed.
    """

    kernel: Path
    initrd: Path


def image_directory(page_bytes: int) -> Path:
    """Where the image for a page size is, or would be.

    Raises:
        UsageError: no kernel has such pages.
    """
    if page_bytes not in _KERNELS:
        raise UsageError(f"no kernel with pages of {page_bytes} bytes", hint="use 4k or 16k")
    recipe = repr((_EDITION, SUITE, _KERNELS[page_bytes], _MODULES, _init(), _PROPERTIES, rootfs_directory(ABI).name))
    name = f"vm-{ABI}-{page_bytes // 1024}k-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    return cache_directory("emulators", name)


def prepare_image(page_bytes: int, progress: Progress = SILENT) -> Image:
    """The image for a page size; built where the cache does not have it.

    Args:
        page_bytes: 4096 or 16384.
        progress: is told.

    Raises:
        UsageError: no such page size, or the cache cannot be written.
        DeviceError: the packages cannot be had, or are not what we know.
    """
    place = image_directory(page_bytes)

    def build(directory: Path) -> None:
        rootfs = prepare_rootfs(ABI, progress)
        repository = Repository("arm64")
        (kernel,) = repository.dependencies(_KERNELS[page_bytes])[:1]
        with repository.fetched([kernel], alone=True, progress=progress) as packages:
            modules = _unpack_kernel(packages, directory / "vmlinuz")
        with (directory / "initrd.img").open("wb") as stream:
            _write_initrd(stream, rootfs, modules)

    make_once(place, build, progress)
    return Image(place / "vmlinuz", place / "initrd.img")


def _unpack_kernel(packages: Sequence[Package], kernel: Path) -> dict[str, bytes]:
    """Write the kernel; the modules that we need, by name."""
    modules = {}
    for package in packages:
        for file in package.files():
            if file.path.startswith("boot/vmlinuz-"):
                kernel.write_bytes(file.content)
            found = re.fullmatch(r"(.*)\.ko(\.xz)?", file.name)
            if found and found[1].replace("-", "_") in _MODULES and not file.link:
                name = found[1].replace("-", "_")
                modules[name] = lzma.decompress(file.content) if found[2] else file.content
    if not kernel.is_file() or "virtio_net" not in modules:
        raise DeviceError("Debian's kernel package is not what we know", hint="please report this")
    return modules


def _init() -> str:
    exports = "\n".join(f"export {name}={value}" for name, value in environment().items())
    text = _INIT.replace("@ENVIRONMENT@", exports).replace("@ADBD@", ADBD)
    return text.replace("/MODULES/", f"/{_MODULE_DIRECTORY}/")


def _write_initrd(stream: BinaryIO, rootfs: Path, modules: dict[str, bytes]) -> None:
    archive = _Cpio(stream)
    for path in sorted(rootfs.rglob("*")):
        name = str(path.relative_to(rootfs))
        if path.is_symlink():
            archive.add(name, stat.S_IFLNK | 0o777, str(path.readlink()).encode())
        elif path.is_dir():
            archive.add(name, stat.S_IFDIR | 0o755)
        else:
            archive.add(name, stat.S_IFREG | stat.S_IMODE(path.stat().st_mode), path.read_bytes())
    ordered = [name for name in _MODULES if name in modules]
    for name in _parents(_MODULE_DIRECTORY):
        archive.add(name, stat.S_IFDIR | 0o755)
    for name in ordered:
        archive.add(f"{_MODULE_DIRECTORY}/{name}.ko", stat.S_IFREG | 0o644, modules[name])
    order = "".join(f"{name}.ko\n" for name in ordered)
    archive.add(f"{_MODULE_DIRECTORY}/order", stat.S_IFREG | 0o644, order.encode())
    archive.add(KIND_PROPERTIES, stat.S_IFREG | 0o644, _PROPERTIES.encode())
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("init", stat.S_IFREG | 0o755, _init().encode())
    archive.end()


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


class _Cpio:
    """Writes a cpio archive as the kernel reads it ("newc"), everything in it owned by root."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._number = 0

    def add(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        """Add one file, directory, link or device node."""
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        self._padded(header + encoded)
        self._padded(content)

    def end(self) -> None:
        """Finish the archive."""
        self.add("TRAILER!!!", 0)

    def _padded(self, data: bytes) -> None:
        self._stream.write(data + bytes(-len(data) % 4))
