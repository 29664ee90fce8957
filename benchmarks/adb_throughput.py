"""adb and queries through it, against stock adb-shell, the adb program and the road people take today.

    python -m benchmarks.adb_throughput --json [--quick] [--record benchmarks/records/adb_throughput.jsonl]

Everything is measured in this run, on the devices that it starts: sandbox:x86_64 (AOSP's adbd) and the embedded device.
The three clients take turns over the same loopback relay; the query rates go the way `--device` does, without it. The
model is the small CNN `plain` with random weights (the rate does not depend on them), int8, 64 x 64 x 1; two sessions
at once are also measured with `residual`, the default victim, which computes twice as long.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from benchmarks.proof import Check, at_least, at_most, main
from benchmarks.throughput import cable, clients, queries, today
from benchmarks.untrained import untrained
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.opening import OpenDevice
from edge.devices.sandbox.launch import start as start_sandbox
from edge.devices.system.launch import IsolatedDevice
from foundation.manifest import Artifact

_ABI = "x86_64"
_SPEC = f"sandbox:{_ABI}"
_IMAGE = (64, 64, 1)
Raw = dict[str, JsonValue]


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Run everything; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-benchmark-") as name:
        folder = Path(name)
        artifact = untrained(folder, "plain", _IMAGE)["tflite_int8"]
        victim = untrained(folder / "victim", "residual", _IMAGE)["tflite_int8"]
        images = np.random.default_rng(0).integers(0, 256, (12_800 if quick else 25_600, *_IMAGE), np.uint8)
        raw: Raw = {"adb": _clients(folder, artifact, images, quick)}
        rounds = 3 if quick else 7
        for kind, begin in (("sandbox", _sandbox), ("embedded", _embedded)):
            with begin() as (_, device):
                raw[kind] = {
                    "labels_equal": _labels_equal(device, artifact, images[:1000]),
                    "rates": queries.rates(device, artifact, images, rounds),
                    "two_sessions": queries.sessions_at_once(device, artifact, images, rounds),
                    "two_sessions_victim": queries.sessions_at_once(device, victim, images, rounds),
                }
                if kind == "sandbox":
                    raw["sustained"] = queries.sustained(device, artifact, images, 100_000 if quick else 1_000_000)
        raw["cable"] = {
            kind: cable.pull(begin, artifact, images, folder / "large")
            for kind, begin in (("sandbox", _sandbox), ("embedded", _embedded))
        }
    return raw, _checks(raw, quick)


@contextmanager
def _sandbox() -> Iterator[tuple[cable.Killable, OpenDevice]]:
    with start_sandbox(_ABI) as device, _open(device) as opened:
        yield device, opened


def _open(device: IsolatedDevice) -> OpenDevice:
    return OpenDevice.over(Adb(DirectConnection.over(device.connect(), _SPEC)), _SPEC)


@contextmanager
def _embedded() -> Iterator[tuple[cable.Killable, OpenDevice]]:
    with (
        EmbeddedDevice.start() as device,
        OpenDevice.over(Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))), "embedded") as opened,
    ):
        yield _Embedded(device), opened


class _Embedded:
    def __init__(self, device: EmbeddedDevice) -> None:
        self._device = device

    def kill(self) -> None:
        """See `cable.Killable`."""
        os.kill(self._device.pid, 9)


def _clients(folder: Path, artifact: Artifact, images: NDArray[np.uint8], quick: bool) -> Raw:
    """adb's three clients on one sandbox, through the same relay."""
    file = folder / "file"
    file.write_bytes(np.random.default_rng(1).bytes(clients.PUSH_BYTES))
    rounds = 3 if quick else 8
    found: Raw = {"push_bytes": clients.PUSH_BYTES, "adb-shell": version("adb-shell")}
    with ExitStack() as held:
        device = held.enter_context(start_sandbox(_ABI, port=0))
        assert device.address is not None
        several: dict[str, clients.Client] = {"ours": clients.Ours(device.address)}
        held.callback(several["ours"].close)
        several["adb-shell"] = clients.AdbShell(device.address)
        held.callback(several["adb-shell"].close)
        try:
            program = clients.AdbProgram(device.address)
            several["adb"] = program
            held.callback(program.close)
            found["adb"] = program.version()
        except FileNotFoundError:
            found["adb"] = None
        for task in clients.tasks(file, rounds):
            found[task.name] = cast(JsonValue, clients.time_side_by_side(several, task, rounds))
        found["at_once"] = {name: clients.shells_at_once(client) for name, client in several.items() if name != "adb"}
        opened = held.enter_context(_open(device))
        command = today.program(opened, artifact)
        known = queries.labels(opened, artifact, images[:60])
        found["today"] = {
            name: today.one_by_one(several[name], command, images[:count], known[:count], 4, folder)
            for name, count in (("ours", 60), ("adb-shell", 8 if quick else 20), ("adb", 20 if quick else 60))
            if name in several
        }
    return found


def _labels_equal(device: OpenDevice, artifact: Artifact, images: NDArray[np.uint8]) -> int:
    from export.parity import runtime_logits

    here = runtime_logits(artifact, images).argmax(1)
    return int((queries.labels(device, artifact, images) == here).sum())


def _checks(raw: Mapping[str, Any], quick: bool) -> list[Check]:
    adb = raw["adb"]
    checks = [
        at_least("shell round trip, times faster than adb-shell", clients.ratio(adb["shell"], "adb-shell"), 10),
        at_least("push, times faster than adb-shell", clients.ratio(adb["push"], "adb-shell"), 5),
        at_least("4 threads x 50 shells, right answers", adb["at_once"]["ours"]["right"], 200),
        at_least("push, times as fast as the adb program", clients.ratio(adb["push"], "adb"), 1),
        at_least("shell round trip, times faster than the adb program", clients.ratio(adb["shell"], "adb"), 5),
    ]
    for kind in ("sandbox", "embedded"):
        rates = raw[kind]["rates"]
        checks += [
            at_least(f"{kind}: labels equal to the runtime's in process", raw[kind]["labels_equal"], 1000),
            at_least(f"{kind}: batches of 256, share of the compute-bound rate", rates["share_of_compute"]["256"], 0.9),
            at_least(f"{kind}: one image at a time, answer awaited", rates["median"]["1"], 4000, "images/s"),
            at_least(f"{kind}: two sessions at once against one", raw[kind]["two_sessions"]["ratio"], 1.7),
            at_least(f"{kind}: the same with the default victim", raw[kind]["two_sessions_victim"]["ratio"], 1.7),
        ]
    best = raw["sandbox"]["rates"]["median"]["256"]
    for name, bound in (("adb-shell", 10_000), ("adb", 1_500)):
        rate = adb["today"].get(name, {}).get("per_second")
        checks.append(at_least(f"times the road of today with {name}", rate and best / rate, bound))
    checks += [
        # A quick run asks fewer; it does not stand for the million.
        at_least("sustained queries", None if quick else raw["sustained"]["queries"], 1_000_000),
        at_most("host memory grown meanwhile", None if quick else raw["sustained"]["growth_kib"], 4096, "KiB"),
    ]
    for kind in ("sandbox", "embedded"):
        for stage, seen in raw["cable"][kind].items():
            checks += [
                at_most(f"{kind}: cable pulled in a {stage}, noticed after", seen["noticed_seconds"], 1, "s"),
                at_most(f"{kind}: cable pulled in a {stage}, processor time", seen["busy_seconds"], 0.5, "s"),
            ]
    return checks


if __name__ == "__main__":
    sys.exit(main("adb_throughput", measure, "adb and queries through it, side by side with others."))
