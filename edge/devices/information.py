"""What a device says of itself, as records keep it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edge.adb.client import Adb
from foundation.host import salted_hash

DeviceKind = Literal["physical", "emulated", "embedded"]

PHONE_WORKDIR = "/data/local/tmp/edgecat"
_KEPT = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.product.device",
    "ro.product.cpu.abi",
    "ro.product.cpu.abilist",
    "ro.soc.model",
    "ro.board.platform",
    "ro.build.version.release",
    "ro.build.version.sdk",
    "ro.build.version.security_patch",
    "ro.build.fingerprint",
)
_HARDWARE = ("ro.hardware", "ro.boot.hardware", "ro.product.board", "ro.board.platform")
_EMULATED_HARDWARE = ("goldfish", "ranchu", "cutf", "vbox", "qemu", "redroid")


@dataclass(frozen=True)
class DeviceInfo:
    """A device as every record names it.

    Attributes:
        spec: how the user named it.
        kind: numbers of the three kinds never share a table.
        serial_hash: 12 hexadecimal digits, salted SHA-256 of its serial: tells devices apart, names none.
        model: the maker's name for it.
        abi: its instruction set by Android's name, `arm64-v8a` or `x86_64`.
        os_version: Android's version, or the host's where the device is embedded.
        workdir: absolute directory on the device where files can be written and run.
        properties: those of `getprop` that say how fast a device is, and nothing of its owner.
        bionic: whether it has Android's own C library, against which programs for Android are linked.
        page_bytes: size of its memory pages; newer phones have 16,384.
    """

    spec: str
    kind: DeviceKind
    serial_hash: str
    model: str
    abi: str
    os_version: str
    workdir: str
    properties: Mapping[str, str]
    bionic: bool = False
    page_bytes: int = 4096


def inspect(adb: Adb, spec: str) -> DeviceInfo:
    """Ask a device what it is.

    Raises:
        DeviceError: it does not answer.
    """
    said = adb.properties()
    kind = device_kind(said, adb.serial)
    # An embedded device is made anew each time, but always of this computer: that is what records are to tell apart.
    bionic, page_bytes = _system(adb)
    serial = "embedded" if kind == "embedded" else said.get("ro.serialno") or adb.serial
    return DeviceInfo(
        spec=spec,
        kind=kind,
        serial_hash=hash_serial(serial),
        model=said.get("ro.product.model", "unknown"),
        abi=said.get("ro.product.cpu.abi") or _machine(adb),
        os_version=said.get("ro.build.version.release", "unknown"),
        workdir=said.get("edgecat.workdir", PHONE_WORKDIR),
        properties={name: said[name] for name in _KEPT if said.get(name)},
        bionic=bionic,
        page_bytes=page_bytes,
    )


def device_kind(properties: Mapping[str, str], serial: str) -> DeviceKind:
    """Tell what a device is. `physical` is only what looks like a phone and shows no sign of emulation."""
    if properties.get("edgecat.kind") == "embedded":
        return "embedded"
    hardware = " ".join(
        properties.get(name, "")
        for name in ("ro.hardware", "ro.boot.hardware", "ro.product.board", "ro.board.platform")
    ).lower()
    emulated = (
        "edgecat.kind" in properties
        or "1" in (properties.get("ro.kernel.qemu"), properties.get("ro.boot.qemu"))
        or any(name in hardware for name in _EMULATED_HARDWARE)
        or serial.startswith("emulator-")
        or not properties.get("ro.product.manufacturer")
    )
    return "emulated" if emulated else "physical"


def hash_serial(serial: str) -> str:
    """12 hexadecimal digits that stand for a serial on this computer; see `salted_hash`."""
    return salted_hash(serial)


def _system(adb: Adb) -> tuple[bool, int]:
    """Whether there is a bionic linker, and the size of a memory page; 4,096 where the device cannot tell."""
    found = adb.shell("test -e /system/bin/linker64 && echo bionic; getconf PAGE_SIZE").stdout.split()
    numbers = [int(word) for word in found if word.isdigit()]
    return b"bionic" in found, numbers[0] if numbers else 4096


def _machine(adb: Adb) -> str:
    """The ABI of a device without Android's properties, by its kernel's word."""
    machine = adb.shell("uname -m").stdout.decode(errors="replace").strip()
    return {"aarch64": "arm64-v8a", "x86_64": "x86_64", "armv7l": "armeabi-v7a"}.get(machine, machine or "unknown")
