"""The runner's loop, in process, over an engine whose every answer is known."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edge.runner.serve as serving
from edge.runner.engines import Classifier, Engine, Load, ModelInput
from edge.runner.messages import (
    BenchmarkRequest,
    Measurement,
    benchmark_payload,
    parse_answer,
    parse_error,
    parse_measurement,
    query_payload,
)
from edge.runner.serve import InputEndedError, Runner, Settings, parse_arguments, serve
from edge.runner.wire import MAX_PAYLOAD, Fault, Frame, Kind, encode
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import ArtifactError, ProtocolError, UsageError
from foundation.files import sha256_bytes

SHAPE = (2, 2, 1)
MODEL = b"a model"


@dataclass
class PixelEngine:
    """Its logits are the image's four pixels; counts what it is asked, and fails where it is told to."""

    input: ModelInput = field(default_factory=lambda: ModelInput((1, *SHAPE), np.dtype(np.float32)))
    version: str = "pixels 1"
    classes: int = 4
    runs: int = 0
    seconds: float = 0.0
    import_seconds: float = 0.0
    load_seconds: float = 0.0
    fails: bool = False
    factor: float = 1.0

    def run(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        self.runs += 1
        if self.fails:
            raise RuntimeError("the accelerator has gone away")
        if self.seconds:
            time.sleep(self.seconds)
        return np.array(image, np.float32).ravel() * np.float32(self.factor)


@pytest.fixture
def engine() -> PixelEngine:
    return PixelEngine()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    model = tmp_path / "model"
    model.write_bytes(MODEL)
    digest = sha256_bytes(MODEL)
    return Settings("pixels", model, digest, AnswerPolicy("label"), 1, SHAPE, (0.0,), (1.0,), "nhwc", None)


@pytest.fixture
def make_runner(engine: PixelEngine, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Runner]:
    def find(_: str) -> Load:
        time.sleep(engine.import_seconds)
        return load

    def load(*_: object) -> Engine:
        time.sleep(engine.load_seconds)
        return engine

    monkeypatch.setattr(serving, "find_runtime", find)
    return lambda: Runner(settings)


@pytest.fixture
def runner(make_runner: Callable[[], Runner]) -> Runner:
    return make_runner()


def converse(runner: Runner, sent: bytes) -> list[Frame]:
    """What the runner sends back until it ends of itself; InputEndedError if it would read on."""
    stream, answers = io.BytesIO(sent), []

    def read(size: int) -> bytes:
        data = stream.read(size)
        if len(data) < size:
            raise InputEndedError
        return data

    serve(runner, read, answers.append)
    return answers


def query(sequence: int, images: NDArray[np.uint8]) -> bytes:
    return encode(Frame(Kind.QUERY, sequence, query_payload(images)))


def benchmark(*values: float) -> bytes:
    return encode(Frame(Kind.BENCHMARK, 5, struct.pack("<IIdd", *values)))


BYE = encode(Frame(Kind.BYE, 0, b""))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), np.uint8)


def labels(frame: Frame) -> list[int]:
    assert frame.kind == Kind.ANSWER
    return parse_answer(frame.payload, AnswerPolicy("label"), 4).top1().tolist()


def test_queries_are_answered_in_order_under_their_own_numbers(runner: Runner) -> None:
    sent = query(7, IMAGES[:3]) + query(0xFFFFFFFF, IMAGES[3:4]) + query(0, IMAGES[4:]) + BYE
    answers = converse(runner, sent)
    assert [frame.sequence for frame in answers] == [7, 0xFFFFFFFF, 0]
    expected = IMAGES.reshape(6, 4).argmax(1).tolist()
    assert [label for frame in answers for label in labels(frame)] == expected


def test_bye_ends_the_session_and_what_follows_is_not_read(runner: Runner) -> None:
    assert converse(runner, BYE + query(1, IMAGES)) == []


def test_the_end_of_input_ends_the_session(runner: Runner) -> None:
    for sent in (b"", query(1, IMAGES)[:-1], query(1, IMAGES)[:10]):
        with pytest.raises(InputEndedError):
            converse(runner, sent)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        struct.pack("<II", 0, 4),
        struct.pack("<II", 1, 3) + bytes(3),
        struct.pack("<II", 2, 4) + bytes(4),
        struct.pack("<II", 0xFFFFFFFF, 4) + bytes(4),
    ],
)
def test_a_bad_query_gets_an_error_frame_and_the_session_goes_on(runner: Runner, payload: bytes) -> None:
    bad = encode(Frame(Kind.QUERY, 3, payload))
    error, answer = converse(runner, bad + query(4, IMAGES[:1]) + BYE)
    assert (error.kind, error.sequence) == (Kind.ERROR, 3)
    assert parse_error(error.payload)[0] == Fault.WRONG_SHAPE
    assert labels(answer) == [int(IMAGES[0].argmax())]


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.ANSWER, Kind.ERROR, Kind.MEASUREMENT])
def test_a_frame_that_only_runners_send_is_unsupported_and_the_session_goes_on(runner: Runner, kind: Kind) -> None:
    error, answer = converse(runner, encode(Frame(kind, 3, b"")) + query(4, IMAGES[:1]) + BYE)
    assert (error.kind, error.sequence) == (Kind.ERROR, 3)
    assert parse_error(error.payload) == (Fault.UNSUPPORTED, f"a runner takes no {kind.name}")
    assert answer.kind == Kind.ANSWER


@pytest.mark.parametrize("at", [0, 4, 5, 16, 19, 24])
def test_a_malformed_frame_ends_the_session_with_an_error_frame(runner: Runner, at: int) -> None:
    damaged = bytearray(query(3, IMAGES[:1]))
    damaged[at] ^= 0x40
    answers = converse(runner, bytes(damaged) + query(4, IMAGES[:1]) + BYE)
    assert [(frame.kind, frame.sequence) for frame in answers] == [(Kind.ERROR, 0)]
    assert parse_error(answers[0].payload)[0] == Fault.MALFORMED


def test_an_inference_that_fails_is_reported_and_the_session_goes_on(runner: Runner, engine: PixelEngine) -> None:
    engine.fails = True
    answers = converse(runner, query(3, IMAGES[:2]) + query(4, IMAGES[:1]) + BYE)
    assert [frame.sequence for frame in answers] == [3, 4]
    told = (Fault.INFERENCE_FAILED, "the accelerator has gone away")
    assert [parse_error(frame.payload) for frame in answers] == [told, told]


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_no_numbers_are_a_failed_inference(runner: Runner, engine: PixelEngine, factor: float) -> None:
    engine.factor = factor
    (error,) = converse(runner, query(3, IMAGES[:2]) + BYE)
    assert (error.kind, error.sequence) == (Kind.ERROR, 3)
    assert parse_error(error.payload) == (Fault.INFERENCE_FAILED, "the model gave logits that are no numbers")


def test_a_query_whose_answer_would_not_fit_a_frame_is_refused_before_it_is_run(
    make_runner: Callable[[], Runner], engine: PixelEngine
) -> None:
    runner = make_runner()
    before = engine.runs
    most = (MAX_PAYLOAD - 16) // (4 + 6)
    payload = struct.pack("<II", most + 1, 4) + bytes(4 * (most + 1))
    with pytest.raises(ProtocolError, match="does not fit a frame"):
        runner.answer(payload)
    assert engine.runs == before


def test_answers_carry_the_time_of_each_inference(runner: Runner, engine: PixelEngine) -> None:
    engine.seconds = 0.01
    payload = runner.answer(query_payload(IMAGES[:3]))
    times = parse_answer(payload, AnswerPolicy("label"), 4).device_ns
    total = struct.unpack_from("<Q", payload, 8)[0]
    assert np.all(times >= 10_000_000)
    assert times.sum() <= total


def test_benchmark_runs_at_least_min_runs(runner: Runner) -> None:
    assert len(measure(runner, warmup_runs=0, min_runs=50, min_seconds=0.0).samples_ns) == 50


def test_the_time_to_load_counts_the_model_but_not_the_import_of_its_runtime(
    make_runner: Callable[[], Runner], engine: PixelEngine
) -> None:
    engine.import_seconds, engine.load_seconds = 0.2, 0.01
    assert 0.01 <= make_runner().hello().load_ns / 1e9 < 0.2


def test_benchmark_runs_at_least_min_seconds(runner: Runner, engine: PixelEngine) -> None:
    engine.seconds = 0.002
    start = time.monotonic()
    measured = measure(runner, warmup_runs=0, min_runs=1, min_seconds=0.1)
    assert time.monotonic() - start >= 0.1
    assert measured.samples_ns[:-1].sum() < 0.1e9
    assert np.all(measured.samples_ns >= 2_000_000)


def test_benchmark_stops_after_max_seconds_whatever_is_missing(runner: Runner, engine: PixelEngine) -> None:
    engine.seconds = 0.01
    start = time.monotonic()
    measured = measure(runner, warmup_runs=0, min_runs=1_000_000, min_seconds=1e6, max_seconds=0.1)
    assert 0.1 <= time.monotonic() - start < 2
    assert 1 <= len(measured.samples_ns) <= 10


def test_benchmark_takes_one_sample_at_least(runner: Runner) -> None:
    assert len(measure(runner, warmup_runs=0, min_runs=0, min_seconds=0.0, max_seconds=0.0).samples_ns) == 1


def test_benchmark_warms_up_and_says_how_often(make_runner: Callable[[], Runner], engine: PixelEngine) -> None:
    runner = make_runner()
    before = engine.runs
    measured = measure(runner, warmup_runs=7, min_runs=3, min_seconds=0.0)
    assert measured.warmup_runs == 7
    assert engine.runs - before == 7 + 3


def test_a_warm_up_stops_after_max_seconds_too(runner: Runner, engine: PixelEngine) -> None:
    engine.seconds = 0.01
    measured = measure(runner, warmup_runs=1_000_000, min_runs=1, min_seconds=0.0, max_seconds=0.05)
    assert measured.warmup_runs <= 5


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="wants Linux's VmHWM")
def test_benchmark_tells_load_time_first_inference_and_peak_memory(runner: Runner) -> None:
    measured = measure(runner, warmup_runs=0, min_runs=1, min_seconds=0.0)
    assert measured.load_ns == runner.load_ns > 0
    assert measured.first_ns == runner.first_ns > 0
    assert measured.peak_rss_bytes is not None
    assert 1 << 20 < measured.peak_rss_bytes < 1 << 36


def measure(runner: Runner, **settings: float) -> Measurement:
    request = BenchmarkRequest(**{"max_seconds": 5.0, **settings})  # type: ignore[arg-type]
    (frame,) = converse(runner, encode(Frame(Kind.BENCHMARK, 5, benchmark_payload(request))) + BYE)
    assert (frame.kind, frame.sequence) == (Kind.MEASUREMENT, 5)
    return parse_measurement(frame.payload)


@pytest.mark.parametrize("values", [(1, 1, float("nan"), 1.0), (1, 1, 1.0, float("inf")), (0xFFFFFFFF, 1, 1.0, 1.0)])
def test_a_benchmark_that_would_not_end_is_refused_and_the_session_goes_on(
    runner: Runner, values: tuple[float, ...]
) -> None:
    error, answer = converse(runner, benchmark(*values) + query(6, IMAGES[:1]) + BYE)
    assert (error.kind, error.sequence) == (Kind.ERROR, 5)
    assert parse_error(error.payload)[0] == Fault.WRONG_SHAPE
    assert answer.kind == Kind.ANSWER


def test_a_model_of_another_hash_is_not_even_loaded(settings: Settings, engine: PixelEngine) -> None:
    settings.model.write_bytes(MODEL + b"!")
    with pytest.raises(serving.WrongModelError, match="asked for"):
        Runner(settings)
    assert engine.runs == 0


def test_a_model_of_another_input_shape_is_refused(make_runner: Callable[[], Runner], engine: PixelEngine) -> None:
    engine.input = ModelInput((1, 2, 3, 1), np.dtype(np.float32))
    with pytest.raises(ArtifactError, match=r"takes \(1, 2, 3, 1\), its manifest says \(1, 2, 2, 1\)"):
        make_runner()


@pytest.mark.parametrize("policy", ["label", "topk:3", "scores", "noise:0.1", "logits"])
def test_a_classifier_and_a_runner_answer_alike(runner: Runner, engine: PixelEngine, policy: str) -> None:
    parsed = AnswerPolicy.parse(policy)
    object.__setattr__(runner.settings, "policy", parsed)
    answers = parse_answer(runner.answer(query_payload(IMAGES)), parsed, 4)
    named, scores = parsed.apply(Classifier(engine, SHAPE, (0.0,), (1.0,), "nhwc").logits(IMAGES), IMAGES)
    assert isinstance(answers, Answers)
    np.testing.assert_array_equal(answers.labels, named)
    if scores is not None:
        assert answers.scores is not None
        np.testing.assert_array_equal(answers.scores, scores)


GOOD = {
    "runtime": "tflite",
    "model": "m",
    "sha256": "0",
    "policy": "topk:2",
    "threads": "2",
    "image": "64,48,3",
    "mean": "0.1,0.2,-0.3",
    "std": "1.0,2.0,3.0",
    "layout": "nchw",
}


def command_line(**changes: str) -> list[str]:
    return [f"--{name}={value}" for name, value in (GOOD | changes).items()]


def test_the_command_line_says_everything_a_runner_must_know() -> None:
    said = Settings(
        "tflite",
        Path("m"),
        "0",
        AnswerPolicy.parse("topk:2"),
        2,
        (64, 48, 3),
        (0.1, 0.2, -0.3),
        (1.0, 2.0, 3.0),
        "nchw",
        None,
    )
    assert parse_arguments(command_line()) == said
    assert parse_arguments(command_line(cpus="0,2-3")) == replace(said, cpus=frozenset({0, 2, 3}))


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "64,48"},
        {"image": "a,b,c"},
        {"image": "0,48,3"},
        {"mean": "0.1"},
        {"mean": "x,y,z"},
        {"std": "1,0,1"},
        {"std": "1,1"},
        {"policy": "everything"},
        {"cpus": ""},
        {"cpus": "3-2"},
        {"packages": "/nowhere"},
    ],
)
def test_a_command_line_that_does_not_fit_together_is_a_usage_error(changes: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        parse_arguments(command_line(**changes))
