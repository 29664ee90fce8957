"""Processes of the embedded device: a command's group ends with its stream, everything else with the device."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

GRACE_SECONDS = 2.0
_PR_SET_CHILD_SUBREAPER = 36


class ProcessGroup:
    """A command and everything it started, unless that left the group on purpose (setsid)."""

    def __init__(self, leader: subprocess.Popen[bytes], registry: ProcessRegistry) -> None:
        self.leader = leader
        self._registry = registry
        self._reaping = threading.Lock()

    def hang_up(self) -> None:
        """Ask the group to end (SIGHUP)."""
        self._signal(signal.SIGHUP)

    def exit_code(self) -> int | None:
        """The leader's exit code as a shell counts it (128 + signal), None while it runs."""
        with self._reaping:
            code = self.leader.poll()
        return code if code is None or code >= 0 else 128 - code

    def end(self) -> None:
        """End the whole group: SIGHUP, and SIGKILL for what is left after `GRACE_SECONDS`."""
        deadline = time.monotonic() + GRACE_SECONDS
        self._signal(signal.SIGHUP)
        pause = 0.001
        while self._left():
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                break
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
        with self._reaping:
            self.leader.wait()
        self._registry.forget(self)

    def kill(self) -> None:
        """End the group without grace."""
        self._signal(signal.SIGKILL)

    def _left(self) -> bool:
        """Whether anybody of the group lives; orphans of it that have ended are buried on the way."""
        if self.exit_code() is not None:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-self.leader.pid, os.WNOHANG) != (0, 0):
                    pass
        return self._signal(0)

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.leader.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # macOS says so for a group of zombies only.
            return False
        return True


class ProcessRegistry:
    """Every group that runs, so that the device can end them when it ends."""

    def __init__(self) -> None:
        _adopt_orphans()
        self._groups: set[ProcessGroup] = set()
        self._lock = threading.Lock()
        self._ending = False

    def add(self, leader: subprocess.Popen[bytes]) -> ProcessGroup:
        """Take charge of a process that leads its own group."""
        group = ProcessGroup(leader, self)
        with self._lock:
            self._groups.add(group)
            ending = self._ending
        if ending:
            group.kill()
        return group

    def forget(self, group: ProcessGroup) -> None:
        """A group has ended."""
        with self._lock:
            self._groups.discard(group)

    def end_all(self) -> None:
        """End every group, all within the one time of grace."""
        with self._lock:
            self._ending = True
            groups = list(self._groups)
        threads = [threading.Thread(target=group.end, daemon=True) for group in groups]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(GRACE_SECONDS + 1.0)
        with self._lock:
            stubborn = list(self._groups)
        for group in stubborn:
            group.kill()
        _kill_children()


def _adopt_orphans() -> None:
    """Become, on Linux, the parent of every orphan below us: they can be waited for, and none outlives the device."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill_children() -> None:
    """Kill what left its group (setsid), and in turn what that leaves behind."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (children := _children()) and time.monotonic() < deadline:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)


def _children() -> list[int]:
    """Our direct children; none where the system does not list them."""
    try:
        return [int(pid) for listed in Path("/proc/self/task").glob("*/children") for pid in listed.read_text().split()]
    except OSError:
        return []
