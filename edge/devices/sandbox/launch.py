"""Starts sandboxes, and says what is missing where they cannot run."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from functools import cache
from pathlib import Path

from edge.devices.sandbox import arm64
from edge.devices.system import namespaces, packages
from edge.devices.system.launch import IsolatedDevice, Launch, launch
from edge.devices.system.rootfs import architecture, prepare_rootfs, rootfs_directory
from foundation.errors import DeviceError
from foundation.progress import SILENT, Progress

KIND = "sandbox"
DATA_BYTES = 1 << 30
START_SECONDS = 20.0

# Settings that forbid namespaces, the value that does, and what allows them.
_SETTINGS = (
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def missing(abi: str) -> list[str]:
    """What keeps a sandbox of that ABI from running here, each with what brings it; empty where nothing does.

    Raises:
        UsageError: no such ABI.
    """
    architecture(abi)
    if not namespaces.supported():
        return [f"sandboxes need Linux on x86_64 or aarch64, not {platform.system()} on {platform.machine()}"]
    if abi == "x86_64" and platform.machine() != "x86_64":
        return ["sandbox:x86_64 needs an x86_64 machine: use sandbox:arm64-v8a"]
    reasons = list(missing_in_kernel())
    if abi == "arm64-v8a" and arm64.needed() and _kernel_version() < (6, 7):
        reasons.append("a Linux kernel before 6.7 has no binfmt_misc in namespaces: use vm:arm64-v8a")
    return reasons if built(abi) else reasons + packages.missing()


def built(abi: str) -> bool:
    """Whether nothing has to be fetched any more.

    Raises:
        UsageError: no such ABI.
    """
    emulator = abi != "arm64-v8a" or not arm64.needed() or arm64.installed_qemu() or arm64.cached_qemu().is_file()
    return rootfs_directory(abi).is_dir() and bool(emulator)


def build(abi: str, progress: Progress = SILENT) -> tuple[Path, Path | None]:
    """Have what a sandbox needs in the cache: its root file system and, for arm64 on another processor, QEMU.

    Raises:
        DeviceError: it cannot be had; see `missing`.
        UsageError: no such ABI, or the cache cannot be written.
    """
    rootfs = prepare_rootfs(abi, progress)
    return rootfs, arm64.prepare_qemu(progress) if abi == "arm64-v8a" and arm64.needed() else None


def start(abi: str, *, data_bytes: int = DATA_BYTES, port: int | None = None, detached: bool = False) -> IsolatedDevice:
    """Start a sandbox; what it needs is built first where the cache does not have it.

    Args:
        abi: `x86_64` or `arm64-v8a`.
        data_bytes: size of /data, which is held in memory as it fills.
        port: also listen on 127.0.0.1, without asking for a key; 0 takes any free port; None listens nowhere.
        detached: whether it lives on without us.

    Raises:
        DeviceError: it cannot run here, or did not start.
        UsageError: no such ABI, or the cache cannot be written.
    """
    reasons = missing(abi)
    if reasons:
        raise DeviceError(f"sandbox:{abi} cannot run here", hint="; ".join(reasons))
    rootfs, qemu = build(abi)
    arguments = ["--abi", abi, "--rootfs", str(rootfs.resolve()), "--data-bytes", str(data_bytes)]
    arguments += [] if qemu is None else ["--qemu", str(qemu.resolve())]
    return launch(Launch(KIND, abi, arguments, START_SECONDS), port=port, detached=detached)


@cache
def missing_in_kernel() -> list[str]:
    """What keeps namespaces from being made here, each with what brings it."""
    for name, bad, hint in _SETTINGS:
        setting = Path(name)
        if setting.is_file() and setting.read_text().strip() == bad and (os.getuid() or "max" in name):
            return [f"user namespaces are switched off: {hint} (as root)"]
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    # What the settings say is one thing, what a container lets through another.
    command = [unshare, "-U", "-r", "-n", "-m", "-p", "-f", "--mount-proc", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        words = " ".join(tried.stderr.split()) or f"exit code {tried.returncode}"
        return [
            f"no namespaces can be made here ({words}): in a container, start it with "
            "--security-opt seccomp=unconfined --security-opt systempaths=unconfined"
        ]
    return []


def _kernel_version() -> tuple[int, int]:
    first, second, *_ = platform.release().split(".")
    digits = "".join(character for character in second if character.isdigit())
    return int(first), int(digits or 0)
