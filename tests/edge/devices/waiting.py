"""Waiting for what a device does by itself, and whether a process lives."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def becomes(condition: Callable[[], bool], within: float = 5.0) -> bool:
    """Whether `condition` holds before that many seconds are over."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    # Whoever adopts an orphan here may take its time to bury it.
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return True
    except ProcessLookupError:
        # It went between the opening of the file and its reading.
        return False
