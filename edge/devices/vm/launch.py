"""Starts virtual machines, and says what is missing where they cannot run."""

from __future__ import annotations

from edge.devices.system.launch import IsolatedDevice
from foundation.errors import DeviceError
from foundation.progress import SILENT, Progress

PAGE_BYTES = 4096
MEMORY_BYTES = 512 << 20


def missing(abi: str) -> list[str]:
    """Nothing works yet."""
    return [f"vm:{abi} is not built yet (issue 3)"]


def built(abi: str) -> bool:
    """Not yet."""
    return not abi


def build(abi: str, *, page_bytes: int = PAGE_BYTES, progress: Progress = SILENT) -> None:
    """Not yet."""
    raise DeviceError(f"vm:{abi} is not built yet (issue 3)")


def start(
    abi: str,
    *,
    data_bytes: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
    page_bytes: int = PAGE_BYTES,
    port: int | None = None,
    detached: bool = False,
) -> IsolatedDevice:
    """Not yet."""
    raise DeviceError(f"vm:{abi} is not built yet (issue 3)")
