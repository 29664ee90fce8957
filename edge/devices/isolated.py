"""The devices that run in namespaces, whatever their kind: `sandbox:ABI` and `vm:ABI`."""

from __future__ import annotations

from dataclasses import dataclass

from edge.devices.system.launch import IsolatedDevice
from foundation.errors import UsageError
from foundation.progress import SILENT, Progress

KINDS = ("sandbox", "vm")
SPECS = ("sandbox:x86_64", "sandbox:arm64-v8a", "vm:arm64-v8a")


@dataclass(frozen=True)
class StartOptions:
    """What the user may choose about an emulated device; None takes its kind's default.

    Attributes:
        port: listen on 127.0.0.1 too; 0 takes any free port. sandbox and vm ask nobody there for a key.
        data_bytes: size of /data.
        memory_bytes: of a vm.
        page_bytes: of a vm's kernel, 4096 or 16384.
    """

    port: int | None = None
    data_bytes: int | None = None
    memory_bytes: int | None = None
    page_bytes: int | None = None


def split(spec: str) -> tuple[str, str]:
    """Kind and ABI of a spec.

    Raises:
        UsageError: none of `SPECS`.
    """
    if spec not in SPECS:
        raise UsageError(f"no emulated device {spec!r}", hint=f"use embedded, {', '.join(SPECS)}")
    kind, _, abi = spec.partition(":")
    return kind, abi


def missing(spec: str) -> list[str]:
    """What keeps the device from running on this machine, each with what brings it; empty where nothing does.

    Raises:
        UsageError: none of `SPECS`.
    """
    from edge.devices.sandbox import launch as sandbox
    from edge.devices.vm import launch as vm

    kind, abi = split(spec)
    return sandbox.missing(abi) if kind == "sandbox" else vm.missing(abi)


def built(spec: str) -> bool:
    """Whether the cache has what the device is made of.

    Raises:
        UsageError: none of `SPECS`.
    """
    from edge.devices.sandbox import launch as sandbox
    from edge.devices.vm import launch as vm

    kind, abi = split(spec)
    return sandbox.built(abi) if kind == "sandbox" else vm.built(abi)


def build(spec: str, options: StartOptions, progress: Progress = SILENT) -> None:
    """Have in the cache what the device is made of.

    Raises:
        UsageError: none of `SPECS`, or the cache cannot be written.
        DeviceError: something is missing, or the packages cannot be had.
    """
    kind, abi = split(spec)
    if kind == "sandbox":
        from edge.devices.sandbox import launch as sandbox

        sandbox.build(abi, progress)
    else:
        from edge.devices.vm import launch as vm

        vm.build(abi, page_bytes=options.page_bytes or vm.PAGE_BYTES, progress=progress)


def start(spec: str, options: StartOptions | None = None, *, detached: bool = False) -> IsolatedDevice:
    """Start a device; what it is made of is built first where the cache does not have it.

    Raises:
        UsageError: none of `SPECS`, or options that its kind does not have.
        DeviceError: it cannot run here, or did not start.
    """
    kind, abi = split(spec)
    chosen = options or StartOptions()
    if kind == "sandbox":
        from edge.devices.sandbox import launch as sandbox

        if chosen.memory_bytes is not None or chosen.page_bytes is not None:
            raise UsageError(f"{spec} has the memory and the kernel of this machine", hint="use vm:arm64-v8a")
        return sandbox.start(
            abi, data_bytes=chosen.data_bytes or sandbox.DATA_BYTES, port=chosen.port, detached=detached
        )
    from edge.devices.vm import launch as vm

    return vm.start(
        abi,
        data_bytes=chosen.data_bytes,
        memory_bytes=chosen.memory_bytes or vm.MEMORY_BYTES,
        page_bytes=chosen.page_bytes or vm.PAGE_BYTES,
        port=chosen.port,
        detached=detached,
    )
