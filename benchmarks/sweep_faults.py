"""A sweep whose workers and driver are killed, against the same sweep left alone and against a serial one.

    python -m benchmarks.sweep_faults --json [--quick] [--record benchmarks/records/sweep_faults.jsonl]

24 small jobs on a small phantom (two victims, two precisions, two strategies, three thieves each) on four embedded
devices. Three times, each in a directory of its own: one job after the other without Ray; on Ray; on Ray with workers
killed (SIGKILL) in the middle of a job, then the driver, then the same command again. What was done is read from what
stands on disk: markers, attempts, ledgers, records. The speed-up is of the sweep that was left alone; a device here is
a process of the same few cores, so it tells of the sweep's own cost, not of four phones.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from benchmarks import records
from benchmarks.command import EDGECAT
from benchmarks.proof import Check, at_least, at_most, main
from foundation import machine

Raw = dict[str, JsonValue]
_BUDGET = 100
_DEVICES = 4
_JOBS, _QUICK_JOBS = 24, 6
_SETTINGS = f"""
[settings]
data = "phantom.npz"
epochs = 6
thief = "plain"
effort = 0.2
budgets = [{_BUDGET}]
seeds = 1
baseline = false
gains = false
quick = true
runner = "python"

[grid]
devices = ["embedded*{_DEVICES}"]
pools = ["npd"]
"""
_AXES = """seed = [0, 1]
recipes = ["tflite_int8", "tflite_fp32"]
strategies = ["random", "entropy"]
thief_seed = [0, 1, 2]
"""
_QUICK_AXES = """recipes = ["tflite_int8", "tflite_fp32"]
thief_seed = [0, 1, 2]
"""
# Workers that are killed, then, with this share of the jobs done, the driver.
_KILLS = 2
_DRIVER_AT = 1 / 3
_WAIT_SECONDS = 600.0


@dataclass(frozen=True)
class _Swept:
    """A sweep as its directory shows it."""

    directory: Path

    @property
    def done(self) -> dict[str, bytes]:
        """Every job's marker, by its key."""
        return {path.parent.name: path.read_bytes() for path in self.directory.glob("jobs/*/done.json")}

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """When work on a job began, and in which process."""
        place = self.directory / "jobs" / key / "attempts.jsonl"
        return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []

    @property
    def keys(self) -> list[str]:
        """Of the jobs that were begun."""
        return sorted(path.parent.name for path in self.directory.glob("jobs/*/attempts.jsonl"))

    def workers(self) -> set[int]:
        """Every process that worked on a job."""
        return {attempt["pid"] for key in self.keys for attempt in self.attempts(key)}

    def under_way(self) -> dict[str, int]:
        """Jobs that somebody works on, and the process that does."""
        done = self.done
        last = {key: self.attempts(key)[-1]["pid"] for key in self.keys if key not in done}
        return {key: pid for key, pid in last.items() if _lives(pid)}

    def results(self, key: str) -> list[records.Record]:
        """A job's records."""
        return records.read(self.directory / "jobs" / key / "results.jsonl")

    def paid(self, key: str) -> int:
        """Queries in a job's ledger."""
        with contextlib.closing(sqlite3.connect(self.directory / "jobs" / key / "ledger.sqlite")) as ledger:
            return int(ledger.execute("SELECT count(*) FROM queries").fetchone()[0])


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Run everything; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-benchmark-") as name:
        folder = Path(name)
        _prepare(folder, quick)
        serial_seconds = _finish(folder, "serial", "--serial")
        alone_seconds = _finish(folder, "alone", "--workers", str(_DEVICES))
        faults = _with_faults(folder, _QUICK_JOBS if quick else _JOBS)
        serial, alone, broken = (_Swept(folder / each) for each in ("serial", "alone", "broken"))
        raw: Raw = {
            "cores": machine.cores(),
            "devices": _DEVICES,
            "serial_seconds": serial_seconds,
            "ray_seconds": alone_seconds,
            "speed_up": serial_seconds / alone_seconds,
            **faults,
            **{
                which: {
                    "jobs": len(swept.done),
                    "not_once": list[JsonValue](_not_once(swept)),
                    "unlike_serial": list[JsonValue](_unlike(swept, serial)),
                    "attempts": {key: len(swept.attempts(key)) for key in swept.keys},
                }
                for which, swept in (("alone", alone), ("broken", broken))
            },
        }
    return raw, _checks(raw, quick)


def _prepare(folder: Path, quick: bool) -> None:
    from victim.phantom import phantom

    dataset = phantom(800, 160, 320, 0, seed=0)
    arrays: dict[str, NDArray[Any]] = {}
    for part in ("train", "val", "test"):
        split = dataset.splits[part]
        arrays |= {f"{part}_images": _halved(split.images), f"{part}_labels": split.labels[:, None]}
    np.savez(folder / "phantom.npz", allow_pickle=False, **arrays)
    (folder / "sweep.toml").write_text(_SETTINGS + (_QUICK_AXES if quick else _AXES))


def _halved(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same at half the size: jobs are many here, and small."""
    count, height, width, channels = images.shape
    blocks = images.reshape(count, height // 2, 2, width // 2, 2, channels)
    halved: NDArray[np.uint8] = blocks.mean((2, 4)).astype(np.uint8)
    return halved


def _start(folder: Path, out: str, *options: str) -> subprocess.Popen[bytes]:
    # One thread a process, as Ray gives its workers.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [*EDGECAT, "sweep", "sweep.toml", "--out", out, *options]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)


def _finish(folder: Path, out: str, *options: str) -> float:
    """Run a sweep to its end; its wall time.

    Raises:
        subprocess.CalledProcessError: it failed; standard error has told why.
    """
    start = time.perf_counter()
    process = _start(folder, out, *options)
    if process.wait() != 0:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return time.perf_counter() - start


def _with_faults(folder: Path, jobs: int) -> Raw:
    """Kill workers, then the driver, then go on."""
    swept = _Swept(folder / "broken")
    begun = time.perf_counter()
    driver = _start(folder, "broken", "--workers", str(_DEVICES))
    killed: list[JsonValue] = []
    for number in range(_KILLS):
        # One kill for each sixth of the jobs, so that the sweep has gone on in between.
        _until(lambda n=number: len(swept.done) >= n * jobs // 6 and swept.under_way(), driver)  # type: ignore[misc]
        key, pid = next(iter(swept.under_way().items()))
        os.kill(pid, signal.SIGKILL)
        killed.append(key)
        _until(lambda k=key: len(swept.attempts(k)) > 1 or k in swept.done, driver)  # type: ignore[misc]
    _until(lambda: len(swept.done) >= jobs * _DRIVER_AT and swept.under_way(), driver)
    under_way = len(swept.under_way())
    driver.kill()
    driver.wait()
    before, workers = swept.done, swept.workers()
    fallen = time.perf_counter()
    _until(lambda: not any(map(_lives, workers)), None)
    orphans_seconds = time.perf_counter() - fallen
    # A worker may have ended its job before it noticed.
    after_driver = swept.done
    tries = {key: len(swept.attempts(key)) for key in after_driver}
    resumed_seconds = _finish(folder, "broken", "--workers", str(_DEVICES), "--resume")
    again = [key for key, count in tries.items() if len(swept.attempts(key)) != count]
    changed = [key for key, marker in before.items() if swept.done[key] != marker]
    return {
        "workers_killed": len(killed),
        "killed_in": killed,
        "driver_killed_with_done": len(before),
        "driver_killed_with_under_way": under_way,
        "orphans_seconds": orphans_seconds,
        "resumed_seconds": resumed_seconds,
        "faults_seconds": time.perf_counter() - begun,
        "done_again": list[JsonValue](sorted({*again, *changed})),
    }


def _until(condition: Callable[[], object], driver: subprocess.Popen[bytes] | None) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if driver is not None and driver.poll() is not None:
            raise RuntimeError(f"the sweep ended by itself ({driver.returncode}) before it was killed")
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing for {_WAIT_SECONDS:g} s")
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _not_once(swept: _Swept) -> list[str]:
    """Jobs of which something was measured, or paid for, more or less than once."""
    found = []
    for key in swept.done:
        kinds = [type(record) for record in swept.results(key)]
        once = (records.Victim, records.ArtifactRecord, records.AccuracyOnDevice, records.Latency, records.Attack)
        if any(kinds.count(kind) != 1 for kind in once) or swept.paid(key) != _BUDGET:
            found.append(key)
    return found


def _unlike(swept: _Swept, serial: _Swept) -> list[str]:
    """Jobs whose results are not those of the serial sweep, to the last prediction."""
    keys = {*swept.done, *serial.done}
    return sorted(key for key in keys if _results(swept, key) != _results(serial, key))


def _results(swept: _Swept, key: str) -> list[JsonValue]:
    """What a job found out that does not depend on time."""
    if key not in swept.done:
        return []
    found: list[JsonValue] = []
    for record in swept.results(key):
        if isinstance(record, records.Victim):
            # Not its file's hash: the seconds of its training stand in there.
            found += [list[JsonValue](record.predictions)]
        elif isinstance(record, records.ArtifactRecord):
            found += [record.sha256]
        elif isinstance(record, records.AccuracyOnDevice):
            found += [list[JsonValue](record.predictions)]
        elif isinstance(record, records.Attack):
            found += [record.fidelity, list[JsonValue](record.thief_predictions)]
            found += [list[JsonValue](record.answer_histogram)]
    return found


def _checks(raw: Any, quick: bool) -> list[Check]:
    broken, alone = raw["broken"], raw["alone"]
    return [
        # A quick sweep has fewer jobs: it does not stand for the bound's.
        at_least("jobs done, workers and driver killed", None if quick else broken["jobs"], _JOBS),
        at_least("workers killed in the middle of a job", raw["workers_killed"], _KILLS),
        at_least("jobs under way when the driver was killed", raw["driver_killed_with_under_way"], 1),
        at_least("jobs done when the driver was killed", raw["driver_killed_with_done"], 1),
        at_most("jobs that were done and were begun again", len(raw["done_again"]), 0),
        at_most("jobs measured, or paid for, not exactly once", len(broken["not_once"]), 0),
        at_most("jobs whose results are not the serial sweep's, after faults", len(broken["unlike_serial"]), 0),
        at_most("the same on Ray, left alone", len(alone["unlike_serial"]), 0),
    ]


if __name__ == "__main__":
    sys.exit(main("sweep_faults", measure, "A sweep whose workers and driver are killed."))
