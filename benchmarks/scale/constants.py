"""What one image costs host and device, what a deployment costs, and what a thief's training costs: measured here.

Seconds of a core are counted by the system for the processes that worked (`/proc`, `time.process_time`), so that what
else the machine does falls out; rates are of the clock.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from attack.budget import BudgetedOracle
from attack.ledger import AttackIdentity, Ledger
from benchmarks.untrained import untrained
from edge.deployment import deploy
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.opening import OpenDevice, open_device
from foundation.manifest import Artifact, load_artifact

Raw = dict[str, JsonValue]

SMALL = "64 x 64 x 1"
SHAPES = {SMALL: (64, 64, 1), "224 x 224 x 3": (224, 224, 3)}
DEVICES = (1, 2, 4, 8)
_TICKS = os.sysconf("SC_CLK_TCK")


def measure(folder: Path, quick: bool) -> Raw:
    """Everything that the simulation wants, and rates of several devices at once, which it must tell."""
    images: Raw = {}
    models = {
        name: untrained(folder / name.replace(" ", ""), "plain", shape)["tflite_int8"] for name, shape in SHAPES.items()
    }
    for name, shape in SHAPES.items():
        count = (6_400 if quick else 25_600) * 64 * 64 // (shape[0] * shape[1] * shape[2])
        images[name] = _image_costs(models[name], _noise(count, shape), folder) | {"training": _training(shape, quick)}
    artifact = models[SMALL]
    return {
        "images": images,
        "deployment": _deployment(artifact),
        "at_once": {
            str(devices): _at_once(artifact, devices, quick) for devices in (DEVICES[:2] if quick else DEVICES)
        },
    }


def _image_costs(artifact: Artifact, images: NDArray[np.uint8], folder: Path) -> dict[str, Any]:
    """Seconds of a core for one image: of the host without and with a ledger, and of everything that the device is."""
    with EmbeddedDevice.start() as device, _opened(device) as opened, deploy(opened, artifact) as model:
        model.query(images[: len(images) // 4])
        bare = time.process_time()
        model.query(images)
        bare = time.process_time() - bare
        with tempfile.TemporaryDirectory(dir=folder) as name, Ledger(Path(name) / "ledger.sqlite") as ledger:
            identity = AttackIdentity(model.identity, model.policy, "scale")
            asking = BudgetedOracle(model, ledger.attack(identity, model.classes), len(images))
            origins = ["scale"] * len(images)
            before, start, own = _seconds_of(device), time.perf_counter(), time.process_time()
            answers = asking.ask(images, origins).answers
            wall, own, spent = time.perf_counter() - start, time.process_time() - own, _seconds_of(device) - before
            ledger.close()
            kept = (Path(name) / "ledger.sqlite").stat().st_size
        inference = float(answers.device_ns.sum()) / 1e9
    count = len(images)
    return {
        "images": count,
        "bytes": int(images[0].nbytes),
        "ledger_bytes": kept / count,
        "wall_us": 1e6 * wall / count,
        "channel_us": 1e6 * bare / count,
        "host_us": 1e6 * own / count,
        "device_us": 1e6 * spent / count,
        "inference_us": 1e6 * inference / count,
    }


def _deployment(artifact: Artifact) -> dict[str, Any]:
    """A device that has nothing yet: connect, push runner and model, start, ask eight images."""
    images = _noise(8, artifact.manifest.image.shape)
    walls, cores, sent = [], [], 0
    for _ in range(5):
        with EmbeddedDevice.start() as device:
            start, own = time.perf_counter(), time.process_time()
            with _opened(device) as opened, deploy(opened, artifact) as model:
                model.query(images)
                walls.append(time.perf_counter() - start)
                cores.append(time.process_time() - own)
                sent = sum(path.stat().st_size for path in device.root.rglob("*") if path.is_file())
    return {"wall_seconds": list(walls), "host_seconds": list(cores), "bytes": sent}


def _at_once(artifact: Artifact, devices: int, quick: bool) -> dict[str, Any]:
    """Images a second of so many embedded devices, each asked by a process of its own, as a sweep's workers do."""
    count, rounds = (6_400, 2) if quick else (25_600, 5)
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(devices)
    with ProcessPoolExecutor(devices, spawn, _open_one, (together, artifact.path)) as workers:
        rates = []
        for _ in range(rounds):
            times = list(workers.map(_ask_one, [count] * devices))
            rates.append(devices * count / (max(end for _, end in times) - min(start for start, _ in times)))
    return {"per_second": rates, "images": count}


# Of a worker: what it asks, and for whom it waits.
_worker: dict[str, Any] = {}


def _open_one(together: Any, model: Path) -> None:
    held = ExitStack()
    atexit.register(held.close)
    _worker["model"] = held.enter_context(deploy(held.enter_context(open_device("embedded")), load_artifact(model)))
    _worker["together"] = together


def _ask_one(count: int) -> tuple[float, float]:
    """When the first image went out and the last answer came; nobody begins before all are there."""
    images = _noise(count, _worker["model"].image_shape)
    _worker["together"].wait(timeout=300)
    start = time.perf_counter()
    _worker["model"].query(images)
    return start, time.perf_counter()


def _training(shape: tuple[int, int, int], quick: bool) -> dict[str, Any]:
    """Seconds of a core for one image of one pass of a thief's training."""
    import torch

    from attack.copycat import settings_for
    from victim.models import build
    from victim.training import fit, one_hot

    torch.set_num_threads(1)
    count = (512 if quick else 2048) * 64 * 64 // (shape[0] * shape[1])
    settings = replace(settings_for(4_000), epochs=1)
    network = build("stacked", shape[2], 4, torch.Generator().manual_seed(0))
    start = time.process_time()
    fit(network, _noise(count, shape), one_hot(np.arange(count) % 4, 4), settings, torch.Generator().manual_seed(0))
    return {"images": count, "core_us": 1e6 * (time.process_time() - start) / count}


def _noise(count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)


def _opened(device: EmbeddedDevice) -> OpenDevice:
    from edge.adb.client import Adb
    from edge.adb.connection import DirectConnection
    from edge.adb.keys import HostKey

    connection = DirectConnection.tcp(*device.address, HostKey(device.key_path))
    return OpenDevice.over(Adb(connection), "embedded")


def _seconds_of(device: EmbeddedDevice) -> float:
    """Seconds of a core that the device and every process below it have taken so far."""
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            spent[int(entry.name)] = (int(fields[11]) + int(fields[12])) / _TICKS
    waiting, total = [device.pid], 0.0
    while waiting:
        number = waiting.pop()
        total += spent.get(number, 0.0)
        waiting += children.get(number, [])
    return total
