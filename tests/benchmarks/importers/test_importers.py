"""What other tools print becomes records: their numbers unchanged, what they do not tell null."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.importers import Origin, Told, import_results, parse_results
from benchmarks.records import Device, Latency, append, read
from benchmarks.summary import summarise
from foundation.errors import DataError, EdgecatError, UsageError

BENCHMARK_MODEL = """\
STARTING!
Log parameter values verbosely: [0]
Num threads: [4]
Graph: [/data/local/tmp/edgecat/models/7701a11d45bbfba4-tflite_int8.tflite]
#threads used for CPU inference: [4]
Loaded model /data/local/tmp/edgecat/models/7701a11d45bbfba4-tflite_int8.tflite
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
The input model file size (MB): 16.9008
Initialized session in 17.187ms.
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=3 first=187533 curr=140990 min=140071 max=195121 avg=145528 std=13583

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=2990275 curr=2913402 min=2727568 max=3189954 avg=2.95034e+06 std=109798{percentiles}

Inference timings in us: Init: 17187, First inference: 187533, Warmup (avg): 145528, Inference (avg): 2.95034e+06
Memory footprint delta from the start of the tool (MB): init=4.21094 overall=46.0859
"""
PERCENTILES = " p5=2800000 median=2950000 p95=3100000"
RUNNER = """\
I 00:00:00.047 executorch:executor_runner.cpp:157] Resetting threadpool with num threads = 2
I 00:00:00.051 executorch:executor_runner.cpp:218] Model file executorch_int8.pte is loaded.
I 00:00:05.833 executorch:executor_runner.cpp:564] Model loaded in 446.25 ms.
I 00:00:06.075 executorch:executor_runner.cpp:705] Iteration 1 of 3: 9.5 ms
I 00:00:06.076 executorch:executor_runner.cpp:705] Iteration 2 of 3: 2.25 ms
I 00:00:06.077 executorch:executor_runner.cpp:705] Iteration 3 of 3: 2.5 ms
I 00:00:06.078 executorch:executor_runner.cpp:714] Model executed successfully 3 time(s) in 14.25 ms.
"""
LITERT = """\
========================================
 BENCHMARK RESULTS
========================================
Model initialization:  5.60 ms
Warmup (first):        0.15 ms
Warmup (avg):          0.08 ms (5 runs)
Inference (avg):       0.07 ms (50 runs)
Inference (min):       0.06 ms
Inference (max):       0.12 ms
Inference (median):    0.07 ms
Inference (std):       0.01 ms
Inference (p5):        0.07 ms
Inference (p95):       0.09 ms
Throughput:            57.57 MB/s
Fully accelerated:     True
========================================
"""
LITERT_JSON = {
    "model": "/models/tflite_int8.tflite", "model_size_mb": 0.24, "accelerators": ["CPU"], "num_threads": 1,
    "latency": {
        "init_ms": 5.6, "warmup_first_ms": 0.15, "warmup_avg_ms": 0.08, "num_warmup_runs": 5, "avg_ms": 0.07,
        "min_ms": 0.06, "max_ms": 0.12, "median_ms": 0.07, "std_ms": 0.01, "p5_ms": 0.07, "p95_ms": 0.09,
        "num_runs": 50,
    },
}  # fmt: skip


def metric(name: str, value: float, model: str = "mv3") -> dict[str, object]:
    return {
        "benchmarkModel": {"name": model, "backend": "xnnpack", "quantization": "q8"}, "metric": name,
        "actualValue": value, "targetValue": 0,
        "deviceInfo": {"device": "google", "arch": "Pixel 8", "os": "Android 14", "totalMem": 0, "availMem": 0},
    }  # fmt: skip


MINIBENCH = [
    metric("avg_inference_latency(ms)", 3.5),
    metric("model_load_time(ms)", 120.5),
    metric("load_status", 0),
    metric("ram_pss_usage(mb)", 55),
]


def one(text: str) -> Told:
    (told,) = parse_results(text, "file")
    return told


def test_benchmark_model_gives_the_measured_phase_not_the_warm_up() -> None:
    told = one(BENCHMARK_MODEL.format(percentiles=PERCENTILES))
    assert (told.tool, told.artifact, told.load_ms, told.first_us) == (
        "benchmark_model", "tflite_int8", 17.187, 187533,
    )  # fmt: skip
    assert told.reported is not None
    numbers = told.reported.model_dump(exclude_none=True)
    assert numbers == {
        "count": 50, "mean": 2.95034e6, "std": 109798, "min": 2727568, "p5": 2800000, "p50": 2950000, "p95": 3100000,
        "max": 3189954,
    }  # fmt: skip
    assert told.config is not None
    config = told.config
    assert (config.threads, config.warmup_runs, config.min_runs, config.max_seconds) == (4, 3, 50, 150)
    assert told.met == (True, True)
    assert not told.raw_us


def test_an_older_benchmark_model_tells_no_median() -> None:
    reported = one(BENCHMARK_MODEL.format(percentiles="")).reported
    assert reported is not None
    assert (reported.p50, reported.mean) == (None, 2.95034e6)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("count=50 curr=7(all same)", {"count": 50, "mean": 7, "std": 0, "min": 7, "p50": 7, "max": 7}),
        ("count=1 curr=12", {"count": 1, "mean": 12, "std": 0, "min": 12, "p50": 12, "max": 12}),
    ],
)
def test_a_stat_line_of_equal_samples_is_read(line: str, expected: dict[str, float]) -> None:
    reported = one(f"count=1 curr=99\n\n{line}\n").reported
    assert reported is not None
    assert reported.model_dump(exclude_none=True) == expected


def test_a_phase_without_samples_is_no_latency() -> None:
    with pytest.raises(DataError, match="no latency"):
        parse_results("count=1 curr=99\n\ncount=0\n", "file")


def test_one_stat_line_that_may_be_the_warm_ups_is_refused_unless_the_timings_claim_it() -> None:
    line = "count=50 first=9 curr=7 min=5 max=9 avg=6.5 std=1"
    with pytest.raises(DataError, match="one stat line"):
        parse_results(line, "file")
    timings = "Inference timings in us: Init: 4521, First inference: 9, Warmup (avg): 8, Inference (avg): 6.5"
    reported = one(f"{line}\n{timings}").reported
    assert reported is not None
    assert (reported.count, reported.mean) == (50, 6.5)


def test_several_runs_in_one_file_are_repeats(tmp_path: Path) -> None:
    path = tmp_path / "three.txt"
    path.write_text(3 * BENCHMARK_MODEL.format(percentiles=PERCENTILES))
    latencies = [record for record in import_results(path, Origin("physical")) if isinstance(record, Latency)]
    assert [(record.artifact, record.repeat) for record in latencies] == [("tflite_int8", k) for k in range(3)]


@pytest.mark.parametrize("prefix", ["", "11-22 15:17:57.123  4242  4242 I ExecuTorch: "])
def test_executor_runner_gives_its_iterations_but_the_first(prefix: str) -> None:
    told = one("".join(prefix + line + "\n" for line in RUNNER.splitlines()))
    assert (told.artifact, told.load_ms, told.first_us, list(told.raw_us)) == (
        "executorch_int8", 446.25, 9500, [2250, 2500],
    )  # fmt: skip
    assert told.config is not None
    assert told.config.threads == 2
    assert told.reported is None


def test_an_executor_runner_that_lost_lines_gives_its_mean_alone() -> None:
    told = one("\n".join(line for line in RUNNER.splitlines() if "Iteration 2" not in line))
    assert not told.raw_us
    assert told.reported is not None
    assert (told.reported.count, told.reported.mean) == (3, 4750)


def test_an_executor_runner_that_was_broken_off_is_told() -> None:
    with pytest.raises(DataError, match="no latency"):
        parse_results("".join(RUNNER.splitlines(keepends=True)[:4]), "file")


def test_minibench_gives_a_mean_for_each_model_that_loaded() -> None:
    broken = [metric("load_status", 2, "vit"), metric("avg_inference_latency(ms)", 0, "vit")]
    told = one(json.dumps(MINIBENCH + broken))
    assert (told.artifact, told.load_ms, told.device, told.os_version) == (
        "mv3_xnnpack_q8", 120.5, "google Pixel 8", "14",
    )  # fmt: skip
    assert told.reported is not None
    assert told.reported.model_dump(exclude_none=True) == {"mean": 3500}


def test_litert_benchmark_tells_the_same_in_both_of_its_forms() -> None:
    printed, kept = one(LITERT), one(json.dumps(LITERT_JSON))
    assert (printed.artifact, kept.artifact) == (None, "tflite_int8")
    assert printed.reported is not None
    assert kept.reported is not None
    assert printed.reported.model_dump() == pytest.approx(kept.reported.model_dump())
    assert printed.reported.p50 == pytest.approx(70)
    assert (printed.load_ms, printed.first_us) == pytest.approx((kept.load_ms, kept.first_us))


@pytest.mark.parametrize(
    "text",
    [BENCHMARK_MODEL.format(percentiles=PERCENTILES), RUNNER, LITERT, json.dumps(LITERT_JSON), json.dumps(MINIBENCH)],
    ids=["benchmark_model", "executor_runner", "litert", "litert_json", "minibench"],
)
def test_what_is_imported_is_appended_read_and_summarised_like_our_own(text: str, tmp_path: Path) -> None:
    path, results = tmp_path / "theirs.txt", tmp_path / "results.jsonl"
    path.write_text(text)
    records = import_results(path, Origin("physical", "Pixel 8 arm64-v8a #1a2b3c4d", "mine"))
    for record in records:
        append(results, record)
    assert read(results) == records
    device, latency = records
    assert isinstance(device, Device)
    assert isinstance(latency, Latency)
    assert (device.device_kind, device.model, latency.artifact) == ("physical", "Pixel 8 arm64-v8a #1a2b3c4d", "mine")
    assert latency.artifact_bytes is None
    summarise(records)


def test_a_name_for_a_file_of_several_models_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mini.json"
    path.write_text(json.dumps([*MINIBENCH, metric("avg_inference_latency(ms)", 4, "vit")]))
    with pytest.raises(UsageError, match="several models"):
        import_results(path, Origin("physical", artifact="mine"))


@pytest.mark.parametrize("text", ["", "nothing of the kind", "{}", "[]", '{"latency": {}}', "[1, 2]", "\x00\x01"])
def test_a_file_of_no_tool_is_refused_by_name(text: str) -> None:
    with pytest.raises(DataError, match=r"some\.file"):
        parse_results(text, "some.file")


def test_a_number_that_is_none_is_refused() -> None:
    rows = [metric("avg_inference_latency(ms)", 1.0) | {"actualValue": "fast"}]
    with pytest.raises(DataError, match="actualValue"):
        parse_results(json.dumps(rows), "file")


WORDS = st.sampled_from(
    [
        "count=", "50", " first=", " curr=1", "(all same)", " min=1 max=2 avg=1.5 std=0", "1e999", "\n", "STARTING!",
        "Inference timings in us: Init: 1, First inference: 1, Warmup (avg): 1, Inference (avg): 1..2",
        "Iteration 1 of 1: 3.5 ms", "Model executed successfully 0 time(s) in 0.0 ms", "BENCHMARK RESULTS",
        "Inference (avg):       0.07 ms (50 runs)", "Inference (min):       0..7 ms", "[", "{", '"latency"', "null",
    ]
)  # fmt: skip


@given(st.lists(WORDS, max_size=12).map("".join))
def test_whatever_stands_in_a_file_it_is_read_or_refused(text: str) -> None:
    try:
        told = parse_results(text, "file")
    except EdgecatError:
        return
    assert told
