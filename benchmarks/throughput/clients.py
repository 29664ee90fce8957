"""Three clients of adb on one device, timed side by side: ours, stock adb-shell, and the `adb` program."""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection

PUSH_BYTES = 8 << 20
_THREADS = 4
_SHELLS_EACH = 50


class Client(Protocol):
    """What people do with adb."""

    def shell(self, command: str) -> bytes:
        """Run a command; its output."""

    def push(self, local: Path, remote: str) -> None:
        """Write a file on the device."""

    def pull(self, remote: str, local: Path) -> None:
        """Read a file from the device."""

    def close(self) -> None:
        """Let go."""


class Ours:
    """`edge.adb` over the same relay that the others use."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._adb = Adb(DirectConnection.tcp(*address))

    def shell(self, command: str) -> bytes:
        """See `Client.shell`."""
        return self._adb.shell(command).stdout

    def push(self, local: Path, remote: str) -> None:
        """See `Client.push`."""
        self._adb.push(local, remote)

    def pull(self, remote: str, local: Path) -> None:
        """See `Client.pull`."""
        self._adb.pull(remote, local)

    def close(self) -> None:
        """See `Client.close`."""
        self._adb.close()


class AdbShell:
    """Stock adb-shell 0.4.4, as its README uses it."""

    def __init__(self, address: tuple[str, int]) -> None:
        from adb_shell.adb_device import AdbDeviceTcp

        self._device = AdbDeviceTcp(*address, default_transport_timeout_s=9.0)
        self._device.connect()

    def shell(self, command: str) -> bytes:
        """See `Client.shell`."""
        said: bytes = self._device.shell(command, decode=False)
        return said

    def push(self, local: Path, remote: str) -> None:
        """See `Client.push`."""
        self._device.push(str(local), remote)

    def pull(self, remote: str, local: Path) -> None:
        """See `Client.pull`."""
        self._device.pull(remote, str(local))

    def close(self) -> None:
        """See `Client.close`."""
        self._device.close()


class AdbProgram:
    """The `adb` program on PATH, one process a command, with a server of its own that ends with it."""

    def __init__(self, address: tuple[str, int]) -> None:
        program = shutil.which("adb")
        if program is None:
            raise FileNotFoundError("adb")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._environment = os.environ | {"ANDROID_ADB_SERVER_PORT": str(port)}
        self._program = [program, "-P", str(port)]
        serial = "{}:{}".format(*address)
        self._run("connect", serial)
        self._program += ["-s", serial]
        self._run("wait-for-device")

    def shell(self, command: str) -> bytes:
        """See `Client.shell`."""
        return self._run("shell", command)

    def push(self, local: Path, remote: str) -> None:
        """See `Client.push`."""
        self._run("push", str(local), remote)

    def pull(self, remote: str, local: Path) -> None:
        """See `Client.pull`."""
        self._run("pull", remote, str(local))

    def close(self) -> None:
        """See `Client.close`."""
        subprocess.run([*self._program[:3], "kill-server"], env=self._environment, capture_output=True, check=False)

    def version(self) -> str:
        """What it says of itself."""
        return self._run("version").decode(errors="replace").splitlines()[1]

    def _run(self, *words: str) -> bytes:
        command = [*self._program, *words]
        return subprocess.run(command, env=self._environment, capture_output=True, check=True, timeout=60).stdout


@dataclass(frozen=True)
class Task:
    """Something that is timed, and how often for each client (stock adb-shell takes 50 ms for what we do in 2)."""

    name: str
    do: Callable[[Client, int], object]
    times: Mapping[str, int]


def tasks(file: Path, rounds: int) -> list[Task]:
    """Shell round trips, and pushes and pulls of `file`, in so many rounds."""
    many, few = {"ours": 20, "adb-shell": 3, "adb": 5}, {"ours": 2, "adb-shell": 1, "adb": 2}
    several, once = ({k: n * rounds for k, n in times.items()} for times in (many, few))
    return [
        Task("shell", _echo, several),
        Task("push", lambda client, number: client.push(file, "/data/local/tmp/throughput"), once),
        Task("pull", lambda client, number: client.pull("/data/local/tmp/throughput", file.with_suffix(".back")), once),
    ]


def time_side_by_side(clients: Mapping[str, Client], task: Task, rounds: int) -> dict[str, list[float]]:
    """Seconds of each time, by client; the clients take turns, so that a busy moment hits all of them."""
    samples: dict[str, list[float]] = {name: [] for name in clients}
    for name, client in clients.items():
        task.do(client, -1)
        samples[name].clear()
    for turn in range(rounds):
        for name, client in clients.items():
            for number in range(task.times[name] // rounds):
                start = time.perf_counter()
                task.do(client, turn * 1000 + number)
                samples[name].append(time.perf_counter() - start)
    return samples


def shells_at_once(client: Client) -> dict[str, JsonValue]:
    """4 threads x 50 commands on one client: how many gave the right answer, and how long it took."""
    start = time.perf_counter()

    def commands(thread: int) -> int:
        right = 0
        for number in range(_SHELLS_EACH):
            # Whatever a client raises is a lost command here.
            try:
                _echo(client, thread * 1000 + number)
                right += 1
            except Exception:  # noqa: BLE001
                continue
        return right

    with ThreadPoolExecutor(_THREADS) as pool:
        right = sum(pool.map(commands, range(_THREADS)))
    return {"right": right, "of": _THREADS * _SHELLS_EACH, "seconds": time.perf_counter() - start}


def ratio(samples: Mapping[str, list[float]], other: str) -> float | None:
    """How many times faster ours is, by medians; None where the other was not there."""
    if not samples.get(other):
        return None
    return statistics.median(samples[other]) / statistics.median(samples["ours"])


def _echo(client: Client, number: int) -> None:
    said = client.shell(f"echo answer {number}")
    if said.strip() != f"answer {number}".encode():
        raise ValueError(f"{said!r} is not the answer to command {number}")
