"""The file systems of a sandbox, mounted by its first process before adbd starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge.devices.sandbox import arm64
from edge.devices.system.layout import KIND_PROPERTIES, WORLD, device_properties, property_lines
from edge.devices.system.namespaces import (
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    bind,
    enter_root,
    mount,
)

_QUIET = MS_NOSUID | MS_NODEV | MS_NOEXEC
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@dataclass(frozen=True)
class Plan:
    """What a sandbox is made of.

    Attributes:
        abi: of its programs.
        rootfs: see `edge.devices.system.rootfs`; shared, so mounted read-only.
        data_bytes: size of /data, which is held in memory.
        cores: how many it shows.
        qemu: runs its programs; None where the processor does.
    """

    abi: str
    rootfs: Path
    data_bytes: int
    cores: int
    qemu: Path | None


def make(plan: Plan) -> None:
    """Mount everything and enter the new root.

    Raises:
        OSError: the kernel does not allow it; says which mount.
    """
    root = str(plan.rootfs)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    bind(root, root, MS_RDONLY | MS_NOSUID | MS_NODEV)
    mount("proc", f"{root}/proc", "proc", _QUIET)
    _devices(f"{root}/dev")
    mount("vendor", f"{root}/vendor", "tmpfs", _QUIET, "size=64k,mode=0755")
    Path(root, KIND_PROPERTIES).write_text(property_lines(device_properties("sandbox", plan.abi)))
    if plan.qemu is not None:
        _arm64(root, plan.qemu, plan.cores)
    else:
        _host_sysfs(f"{root}/sys")
    mount("data", f"{root}/data", "tmpfs", MS_NOSUID | MS_NODEV, f"size={plan.data_bytes},mode=0771")
    for place in (WORLD, "/data/media/0"):
        Path(root + place).mkdir(parents=True)
    # As on a phone: what lies there cannot be run.
    bind(f"{root}/data/media/0", f"{root}/sdcard", _QUIET)
    enter_root(root)


def _devices(place: str) -> None:
    mount("dev", place, "tmpfs", MS_NOSUID | MS_NOEXEC, "size=1m,mode=0755")
    for name in _DEVICES:
        Path(place, name).touch()
        bind(f"/dev/{name}", f"{place}/{name}")
    Path(place, "pts").mkdir()
    mount("devpts", f"{place}/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,mode=0620,ptmxmode=0666")
    Path(place, "ptmx").symlink_to("pts/ptmx")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path(place, name).symlink_to(f"/proc/self/fd/{number}")
    Path(place, "fd").symlink_to("/proc/self/fd")


def _host_sysfs(place: str) -> None:
    try:
        mount("sysfs", place, "sysfs", _QUIET | MS_RDONLY)
    except PermissionError:
        # A container that hides parts of its own lets nobody mount a whole one.
        bind("/sys", place, recursive=True)


def _arm64(root: str, qemu: Path, cores: int) -> None:
    """QEMU for every arm64 program of this namespace, and an arm64 processor to look at."""
    mount("sys", f"{root}/sys", "tmpfs", _QUIET, "size=1m,mode=0755")
    shown = Path(root, "sys/devices/system/cpu")
    shown.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (shown / name).write_text(f"0-{cores - 1}\n" if cores > 1 else "0\n")
    Path(root, "sys/cpuinfo").write_text(arm64.cpuinfo(cores))
    bind(f"{root}/sys/cpuinfo", f"{root}/proc/cpuinfo", MS_RDONLY)
    registry = Path(root, "mnt")
    mount("binfmt_misc", str(registry), "binfmt_misc", _QUIET)
    (registry / "register").write_text(arm64.registration(qemu))
