"""The host's side of a device in namespaces: makes them, waits for the device, ends it with its parent."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from edge.devices.system.first_process import FirstProcess, Program, map_user
from edge.devices.system.handover import connect
from edge.devices.system.namespaces import fork_into_namespaces
from edge.devices.system.relay import Relay

_PARENT_CHECK_MS = 1000
SOCKET_NAME = "adb.socket"


def parser(description: str | None) -> argparse.ArgumentParser:
    """The arguments that every kind of device takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--directory", type=Path, required=True, help="where its socket is; removed when it ends")
    made.add_argument("--serial", required=True, help="stands on the command line, by which it is known again")
    made.add_argument("--port", type=int, default=None, help="also listen on 127.0.0.1; 0 takes any free port")
    made.add_argument("--detached", action="store_true", help="do not end with the parent")
    return made


def keep(
    arguments: argparse.Namespace,
    prepare: Callable[[], Program],
    wait_until_ready: Callable[[Path], None] = lambda path: connect(path).close(),
) -> int:
    """Run a device until its parent, a signal or its own end ends it; the exit code.

    Prints one JSON line, {"device", "address"}, when the device can be reached.

    Args:
        arguments: from `parser`.
        prepare: runs as the first process of the namespaces; says what to run there.
        wait_until_ready: returns when adbd answers at the socket file; raises OSError if it does not.
    """
    path = arguments.directory / SOCKET_NAME
    ran = False
    wake, alarm = os.pipe()
    os.set_blocking(alarm, False)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(64)
            device, life = _fork(prepare, listener)
        try:
            # Until it is ready a signal simply ends us, and the device with us.
            wait_until_ready(path)
            signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, lambda *_: None)
            relay = None if arguments.port is None else Relay(path, arguments.port)
            address = None if relay is None else relay.address
            print(json.dumps({"device": device, "address": address}), flush=True)
            ran = True
            _wait(wake, device, watch_parent=not arguments.detached)
        finally:
            os.close(life)
            with contextlib.suppress(ProcessLookupError):
                os.kill(device, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(device, 0)
    except OSError as error:
        print(f"the device cannot start: {error}", file=sys.stderr)
        return 1
    finally:
        # Whoever could not start it wants to read the log first.
        if ran:
            shutil.rmtree(arguments.directory, ignore_errors=True)
    return 0


def _fork(prepare: Callable[[], Program], listener: socket.socket) -> tuple[int, int]:
    """Process id of the device's first process as seen from here, and the pipe that it lives by."""
    reading, writing = os.pipe()
    pid = fork_into_namespaces()
    if pid:
        os.close(reading)
        try:
            map_user(pid, 0, os.getuid(), os.getgid())
            os.write(writing, b"go")
        except OSError:
            os.close(writing)
            os.waitpid(pid, 0)
            raise
        return pid, writing
    try:
        os.close(writing)
        if os.read(reading, 2):
            FirstProcess(prepare(), listener, reading).run()
    except OSError as error:
        os.write(2, f"{error.strerror or error}: {error.filename or ''}\n".encode())
    except BaseException:  # noqa: BLE001  -- a second copy of this program must not go on
        traceback.print_exc()
    finally:
        os._exit(1)


def _wait(wake: int, device: int, *, watch_parent: bool) -> None:
    """Until a signal comes, the device ends, or the parent does: its end closes our standard input, unless a fork of it
    holds that open; then we see a new parent.
    """
    parent = os.getppid()
    waiting = select.poll()
    waiting.register(wake, select.POLLIN)
    if watch_parent:
        waiting.register(sys.stdin.fileno(), select.POLLIN)
    while not _has_ended(device) and (not watch_parent or os.getppid() == parent):
        for descriptor, _ in waiting.poll(_PARENT_CHECK_MS if watch_parent else None):
            if descriptor != wake:
                return
            if set(os.read(wake, 1 << 12)) - {signal.SIGCHLD}:
                return


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
