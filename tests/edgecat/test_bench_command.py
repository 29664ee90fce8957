"""`edgecat bench` on a real emulated device: repeats in turns, what they carry, and what is refused."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import records
from benchmarks.records import Context, Device, Latency, Throughput
from edgecat.stages.bench import BenchPlan
from foundation.errors import UsageError

from .command_line import CommandLine, Ended

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]

BRIEF = ("--min-runs", 40, "--min-seconds", 0.05, "--warmup", 5)


@pytest.fixture(scope="module")
def model(exported: Callable[[str, int], Any]) -> Path:
    """A `.tflite` with its manifest, of the small network that all tests share."""
    path: Path = exported("tflite_int8", 1).artifact.path
    return path


@pytest.fixture(scope="module")
def benched(edgecat: CommandLine, model: Path, program: Path) -> tuple[Any, Path]:
    """Both runtimes, three repeats, everything that is measured; and where the records went."""
    out = edgecat.directory / "bench.jsonl"
    words = ("bench", model, program, *BRIEF, "--throughput", "--seed", 3, "--out", out, "--json")
    return edgecat(*words).document(), out


def test_each_repeat_keeps_its_promises(benched: tuple[Any, Path], model: Path) -> None:
    latencies = benched[0]["latencies"]
    assert sorted((one["artifact"], one["repeat"]) for one in latencies) == [
        (name, repeat) for name in ("executorch_fp32", "tflite_int8") for repeat in range(3)
    ]
    for one in latencies:
        numbers = one["latency_us"]
        assert numbers["count"] >= 40
        assert 0 < numbers["p50"] <= numbers["p90"] <= numbers["p99"]
        assert one["config"].items() >= {"threads": 1, "warmup_runs": 5, "min_runs": 40}.items()
        assert one["validity"]["min_runs_met"]
        assert (one["device_kind"], one["tier"], one["shuffle_seed"]) == ("embedded", "default", 3)
        assert one["warm_load_ms"] > 0
        assert (one["cold_load_ms"] is None) == (one["cold_method"] is None)
        # An embedded device has no battery of its own and no thermal service: nothing is guessed.
        conditions = one["conditions"]
        assert {conditions[name] for name in ("battery_c_start", "thermal_status_end", "gate", "plugged")} == {None}
    assert {one["artifact_bytes"] for one in latencies if one["artifact"] == "tflite_int8"} == {model.stat().st_size}


def test_artefacts_take_turns_in_every_round(benched: tuple[Any, Path]) -> None:
    told = [(one["repeat"], one["order"]) for one in benched[0]["latencies"]]
    assert told == [(repeat, place) for repeat in range(3) for place in range(2)]
    rounds = {one["repeat"]: one["artifact"] for one in benched[0]["latencies"] if one["order"] == 0}
    # Of this seed: somebody else begins in some round.
    assert len(set(rounds.values())) == 2


def test_repeats_are_pooled_and_images_counted(benched: tuple[Any, Path]) -> None:
    document = benched[0]
    for one in document["pooled"]:
        own = [r["latency_us"] for r in document["latencies"] if r["artifact"] == one["artifact"]]
        assert one["repeats"] == 3
        assert one["latency_us"]["p50"] == sorted(r["p50"] for r in own)[1]
        assert one["latency_us"]["count"] == sum(r["count"] for r in own)
        medians = sorted(r["p50"] for r in own)
        assert one["spread"] == pytest.approx((medians[2] - medians[0]) / medians[1])
    assert [one["artifact"] for one in document["throughputs"]] == ["tflite_int8", "executorch_fp32"]
    for rate in document["throughputs"]:
        assert rate["images_per_second"] == pytest.approx(rate["images"] / rate["seconds"])
        assert 0 < rate["device_seconds"] <= rate["seconds"]


def test_every_record_is_on_disk(benched: tuple[Any, Path]) -> None:
    document, out = benched
    context, device, *rest = records.read(out)
    assert isinstance(context, Context)
    assert isinstance(device, Device)
    assert (context.seed, context.settings["repeats"]) == (3, 3)
    assert context.model_dump(mode="json") == document["context"]
    told = [*document["latencies"], *document["throughputs"]]
    assert [one.model_dump(mode="json") for one in rest] == told
    assert [type(one) for one in rest] == [Latency] * 6 + [Throughput] * 2
    assert {one.run_id for one in rest} == {device.run_id} == {context.run_id}


def test_people_get_a_table_and_what_could_not_be_done(edgecat_here: Callable[..., Ended], model: Path) -> None:
    wanted = ("--max-temperature", 35, "--fixed-performance", "--repeats", 1, "--no-memory")
    ended = edgecat_here("bench", model, *BRIEF, *wanted)
    assert ended.code == 0
    head, names, row, *_ = ended.stdout.splitlines()
    assert "embedded, 1 process" in head.replace("(embedded)", "embedded")
    assert names.split()[:4] == ["model", "engine", "p50", "µs"]
    assert row.startswith("tflite_int8")
    assert "tells no battery temperature" in ended.stderr
    assert "no fixed performance mode" in ended.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--tier", "rapid", "--min-runs", 9), 2, "--min-runs would make it another"),
        (("--tier", "brisk"), 2, "brisk"),
        (("--repeats", 0), 2, "repeats"),
        (("--max-temperature", 900), 2, "a battery is not at 900"),
        (("--min-seconds", "inf"), 2, "cannot be made"),
        (("--gate-seconds", "inf"), 2, "cannot wait"),
        (("--cpus", "9999"), 4, "cpus"),
        (("MODEL",), 2, "given twice"),
    ],
)
def test_what_makes_no_sense_is_refused(
    edgecat_here: Callable[..., Ended], model: Path, words: tuple[object, ...], code: int, told: str
) -> None:
    ended = edgecat_here("bench", model, *(model if word == "MODEL" else word for word in words))
    assert (ended.code, ended.stdout) == (code, ""), ended.stderr
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_plan_knows_what_cannot_be() -> None:
    with pytest.raises(UsageError):
        BenchPlan(repeats=0)


@pytest.mark.usefixtures("emulator")
def test_ctrl_c_ends_with_130_and_leaves_nothing_running(edgecat: CommandLine, model: Path, tmp_path: Path) -> None:
    # A name of its own: others on this machine may run the same model.
    own = tmp_path / f"{secrets.token_hex(8)}.tflite"
    for suffix in ("", ".json"):
        shutil.copy(f"{model}{suffix}", f"{own}{suffix}")
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from edgecat.__main__ import main; main()"
    words = ["bench", str(own), "--device", "emulator:shared", "--tier", "normal", "--no-memory"]
    child = subprocess.Popen(
        [sys.executable, "-c", script, *words], cwd=edgecat.directory, env=edgecat.environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert child.stderr is not None
    assert any("repeat 1 of 3" in line for line in child.stderr)
    assert becomes(lambda: is_answered_for(own))
    os.killpg(child.pid, signal.SIGINT)
    stdout, _ = child.communicate(timeout=60)
    assert (child.returncode, stdout) == (130, "")
    assert becomes(lambda: not is_answered_for(own))
    assert edgecat("bench", own, "--device", "emulator:shared", *BRIEF, "--repeats", 1, "--no-memory").code == 0


def is_answered_for(model: Path) -> bool:
    """Whether some runner of this machine has the model."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = place.read_bytes().split(b"\0")
            if any(word.startswith(b"--model=") and word.endswith(model.name.encode()) for word in words):
                return True
    return False


def becomes(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    """Whether `condition` holds before that many seconds are over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
