"""The first process of a device's namespaces: starts the device and hands out connections to its adbd.

adbd asks nobody who they are, so nothing but this process may reach its port: the network namespace holds only
loopback. Who may open the socket file in the host's file system gets from here a connection made inside, as a
file descriptor: a socket stays in the namespace it was made in, so host and adbd then talk without anybody in between.
"""

from __future__ import annotations

import array  # noqa: F401  -- send_fds imports it when called, and by then the host's files are out of reach
import contextlib
import fcntl
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from edge.devices.system import namespaces

ADBD_PORT = 5555
PATIENCE_SECONDS = 5.0
# Android's `shell`.
SHELL_ID = 2000
_TICK_MS = 5
_LEAST_LIFE_SECONDS = 1.0
_PAUSE_SECONDS = 0.2
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


@dataclass(frozen=True)
class Program:
    """What the first process keeps running.

    Attributes:
        command: its program and arguments.
        environment: all of its environment.
        restarts: whether it is started again when it ends; else everything ends with it.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    restarts: bool


class FirstProcess:
    """Runs as process 1 until it is killed, or until the other end of `life` is closed.

    Args:
        program: what to keep running.
        listener: on a socket file; everybody who connects is handed a connection to adbd.
        life: end of a pipe that the host's side holds open.
    """

    def __init__(self, program: Program, listener: socket.socket, life: int) -> None:
        self._program = program
        self._listener = listener
        self._life = life
        self._waiting: list[tuple[socket.socket, float]] = []
        self._pid = 0
        self._started = self._next_start = 0.0

    def run(self) -> NoReturn:
        """Serve; never returns."""
        wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        loopback_up()
        poll = select.poll()
        for descriptor in (self._life, wake, self._listener.fileno()):
            poll.register(descriptor, select.POLLIN)
        while True:
            self._tend()
            busy = self._waiting or not self._pid
            for descriptor, _ in poll.poll(_TICK_MS if busy else None):
                if descriptor == self._life:
                    os._exit(0)
                if descriptor == wake:
                    os.read(wake, 1 << 12)
                else:
                    self._waiting.append((self._listener.accept()[0], time.monotonic() + PATIENCE_SECONDS))

    def _tend(self) -> None:
        self._bury()
        if not self._pid and time.monotonic() >= self._next_start:
            self._started = time.monotonic()
            self._pid = _start(self._program)
        self._waiting = [waiting for waiting in self._waiting if not self._served(*waiting)]

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if ended[0] != self._pid:
                    continue
                if not self._program.restarts:
                    os._exit(os.waitstatus_to_exitcode(ended[1]) & 0xFF)
                print(f"{self._program.command[0]} ended: {os.waitstatus_to_exitcode(ended[1])}", file=sys.stderr)
                self._pid = 0
                lived = time.monotonic() - self._started
                self._next_start = time.monotonic() + (0.0 if lived > _LEAST_LIFE_SECONDS else _PAUSE_SECONDS)

    def _served(self, client: socket.socket, until: float) -> bool:
        """Give a client its connection; whether it need not wait any longer."""
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with made:
            try:
                made.connect(("127.0.0.1", ADBD_PORT))
                socket.send_fds(client, [b"C"], [made.fileno()])
            except ConnectionRefusedError:
                # adbd has not opened its port yet, or is being started again.
                if time.monotonic() < until:
                    return False
            except OSError as error:
                print(f"a connection could not be handed out: {error}", file=sys.stderr)
        client.close()
        return True


def loopback_up() -> None:
    """Bring up the loopback interface of this network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def map_user(process: int | str, inside: int, outside: int, group: int) -> None:
    """Say who the one user of a process's new user namespace is.

    Args:
        process: its id, or `self`.
        inside: the user's and group's number in it.
        outside: the user's number in the namespace above.
        group: the group's number there.

    Raises:
        OSError: the kernel does not allow it.
    """
    # Only who cannot drop groups may write a group map without privileges.
    maps = (("setgroups", "deny"), ("uid_map", f"{inside} {outside} 1"), ("gid_map", f"{inside} {group} 1"))
    for name, text in maps:
        Path(f"/proc/{process}/{name}").write_text(text)


def _start(program: Program) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        # The device's programs are `shell`, as on a phone, and own nothing of what was mounted for them.
        namespaces.unshare_user()
        map_user("self", SHELL_ID, 0, 0)
        namespaces.gain_no_privileges()
        namespaces.refuse_vsock()
        os.execve(program.command[0], list(program.command), dict(program.environment))
    except OSError as error:
        os.write(2, f"cannot run {program.command[0]}: {error}\n".encode())
    finally:
        os._exit(127)
