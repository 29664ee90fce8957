"""What every runner must do, whatever it is written in: real processes, real models, the wire protocol between.

A new implementation is one more entry in `_kinds`.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.runner import legacy
from edge.runner.bundle import runner_bundle
from edge.runner.messages import (
    BenchmarkRequest,
    benchmark_payload,
    parse_answer,
    parse_error,
    parse_measurement,
    query_payload,
)
from edge.runner.wire import Fault, Frame, Kind, encode
from foundation.answers import AnswerPolicy, Answers
from foundation.files import sha256_bytes
from foundation.manifest import Artifact

from .native_runners import EMULATED, OWN, native_kind
from .runner_process import RunnerKind, RunnerProcess
from .runtime_process import logits_without_runner

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.export, pytest.mark.timeout(60, func_only=True)]

RUNNERS = ("python", "python-legacy", *OWN, *EMULATED)
MODELS = (("tflite_int8", 1), ("tflite_fp32", 3), ("executorch_int8", 1), ("executorch_fp32", 3))
# What depends on the runtime, but not on the model; and what depends on neither, so that one model will do.
each_runtime = pytest.mark.parametrize("artifact", [MODELS[0], MODELS[2]], indirect=True, ids=["tflite", "executorch"])
one_model = pytest.mark.parametrize("artifact", [None], indirect=True, ids=[""])
BYE = Frame(Kind.BYE, 0, b"")


def _kinds(directory: Path) -> dict[str, RunnerKind]:
    bundle = directory / "runner.pyz"
    bundle.write_bytes(runner_bundle())
    # -I: neither this directory nor PYTHONPATH may lend the bundle what it lacks.
    return {"python": RunnerKind("python", (sys.executable, "-I", str(bundle)), ("tflite", "executorch"))}


@pytest.fixture(scope="session")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunnerKind]:
    return _kinds(tmp_path_factory.mktemp("runners"))


@pytest.fixture(scope="module", params=RUNNERS)
def kind(request: pytest.FixtureRequest, kinds: dict[str, RunnerKind]) -> RunnerKind:
    if request.param == "python-legacy":
        packages = request.getfixturevalue("legacy_packages")
        command = (*kinds["python"].command, f"--packages={packages}")
        return RunnerKind(request.param, command, ("tflite",), legacy.RUNTIME, packages)
    return kinds[request.param] if request.param in kinds else native_kind(request.param)


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: f"{model[0]}-{model[1]}")
def artifact(request: pytest.FixtureRequest, kind: RunnerKind, exported: Callable[[str, int], Exported]) -> Artifact:
    recipe, channels = request.param or next(m for m in MODELS if m[0].partition("_")[0] in kind.runtimes)
    if recipe.partition("_")[0] not in kind.runtimes:
        pytest.skip(f"the {kind.name} runner does not run {recipe}")
    if kind.emulated and recipe.endswith("fp32"):
        pytest.skip("one model for each emulated runner: they are slow")
    return exported(recipe, channels).artifact


@pytest.fixture
def start(kind: RunnerKind, artifact: Artifact, tmp_path: Path) -> Iterator[Callable[..., RunnerProcess]]:
    """Starts runners with changed options, from an empty directory; ends them after the test."""
    started: list[RunnerProcess] = []
    empty = tmp_path / "empty"
    empty.mkdir()

    def begin(**changes: str) -> RunnerProcess:
        started.append(RunnerProcess(kind, artifact, empty, **changes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


@pytest.fixture(scope="module")
def open_runner(
    kind: RunnerKind, artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunnerProcess]:
    """One runner under `label` whose hello was read, for tests that leave it as it was."""
    with RunnerProcess(kind, artifact, tmp_path_factory.mktemp("empty")) as process:
        process.hello()
        yield process


@pytest.fixture(scope="module")
def images(artifact: Artifact) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (1000, *artifact.manifest.image.shape), np.uint8)


@pytest.fixture(scope="module")
def logits(kind: RunnerKind, artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of the same file in the same runtime, without a runner."""
    return logits_without_runner(kind, artifact, images)


def query(sequence: int, images: NDArray[np.uint8]) -> Frame:
    return Frame(Kind.QUERY, sequence, query_payload(images))


def ask(process: RunnerProcess, images: NDArray[np.uint8], policy: str = "label") -> Answers:
    process.send(query(1, images))
    frame = process.receive()
    assert (frame.kind, frame.sequence) == (Kind.ANSWER, 1), parse_error(frame.payload)
    return parse_answer(frame.payload, AnswerPolicy.parse(policy), 4)


def test_hello_tells_what_was_loaded(open_runner: RunnerProcess, artifact: Artifact) -> None:
    hello = open_runner.greeting
    assert hello is not None
    assert hello.model_sha256 == artifact.manifest.sha256
    assert hello.image_shape == artifact.manifest.image.shape
    assert (hello.classes, hello.policy, hello.threads) == (4, "label", 1)
    assert 0 < hello.load_ns < 60e9
    assert hello.runner
    assert any(character.isdigit() for character in hello.engine)


def test_1000_of_1000_labels_equal_those_of_the_runtime_in_process(
    open_runner: RunnerProcess, images: NDArray[np.uint8], logits: NDArray[np.float32]
) -> None:
    answers = ask(open_runner, images)
    expected = logits.argmax(1)
    assert len(np.unique(expected)) > 1
    np.testing.assert_array_equal(answers.top1(), expected)
    assert np.all(answers.device_ns > 0)


@each_runtime
@pytest.mark.parametrize("policy", ["topk:2", "scores"])
def test_scores_equal_the_softmax_of_the_runtime_s_logits(
    kind: RunnerKind,
    start: Callable[..., RunnerProcess],
    images: NDArray[np.uint8],
    logits: NDArray[np.float32],
    policy: str,
) -> None:
    process = start(policy=policy, threads="2")
    hello = process.hello()
    assert (hello.policy, hello.threads) == (policy, 2)
    answers = ask(process, images, policy)
    labels, scores = AnswerPolicy.parse(policy).apply(logits)
    np.testing.assert_array_equal(answers.labels, labels)
    assert answers.scores is not None
    assert scores is not None
    np.testing.assert_allclose(answers.scores, scores, rtol=0, atol=kind.tolerance)


@one_model
@pytest.mark.parametrize(
    "policy", ["round:2", "noise:0.1", "reverse_sigmoid:0.5,2", "confident:0.3", "confident:0.99", "logits"]
)
def test_defended_answers_are_those_of_the_definition(
    kind: RunnerKind,
    start: Callable[..., RunnerProcess],
    images: NDArray[np.uint8],
    logits: NDArray[np.float32],
    policy: str,
) -> None:
    process = start(policy=policy)
    assert process.hello().policy == policy
    answers = ask(process, images, policy)
    labels, scores = AnswerPolicy.parse(policy).apply(logits, images)
    np.testing.assert_array_equal(answers.labels, labels)
    assert answers.scores is not None
    assert scores is not None
    # Rounding and cutting make a whole step of the smallest difference; only a runner without any has to meet them all.
    off = np.abs(answers.scores - scores).max(axis=1) > kind.tolerance * (50 if policy == "logits" else 1)
    assert off.mean() <= (0.05 if kind.tolerance > 1e-6 else 0)


def test_frames_in_flight_are_answered_in_order(
    open_runner: RunnerProcess, images: NDArray[np.uint8], logits: NDArray[np.float32]
) -> None:
    sizes = [1, 255, 256, 257, 3]
    parts = np.split(images[: sum(sizes)], np.cumsum(sizes)[:-1])
    numbers = [0xFFFFFFFE, 0xFFFFFFFF, 0, 1, 0]
    open_runner.send(*map(query, numbers, parts))
    answers = [open_runner.receive() for _ in sizes]
    assert [frame.sequence for frame in answers] == numbers
    labels = [parse_answer(frame.payload, AnswerPolicy("label"), 4).top1() for frame in answers]
    assert [len(part) for part in labels] == sizes
    np.testing.assert_array_equal(np.concatenate(labels), logits[: sum(sizes)].argmax(1))


def test_an_answer_does_not_wait_for_the_next_query(open_runner: RunnerProcess, images: NDArray[np.uint8]) -> None:
    following = encode(query(2, images[1:2]))
    open_runner.send(encode(query(1, images[:1])) + following[:30])
    assert open_runner.receive().sequence == 1
    open_runner.send(following[30:])
    assert open_runner.receive().sequence == 2


@pytest.mark.parametrize("missing", ["a row", "a channel", "half an image", "every image"])
def test_images_of_another_size_are_refused_and_the_session_goes_on(
    open_runner: RunnerProcess, images: NDArray[np.uint8], logits: NDArray[np.float32], missing: str
) -> None:
    wrong = {
        "a row": query(5, images[:2, 1:]),
        "a channel": query(5, np.concatenate([images[:2]] * 2, axis=3)),
        "half an image": Frame(Kind.QUERY, 5, query_payload(images[:2])[: -images[0].nbytes // 2]),
        "every image": Frame(Kind.QUERY, 5, struct.pack("<II", 0, images[0].nbytes)),
    }
    open_runner.send(wrong[missing])
    error = open_runner.receive()
    assert (error.kind, error.sequence) == (Kind.ERROR, 5)
    assert parse_error(error.payload)[0] == Fault.WRONG_SHAPE
    assert ask(open_runner, images[:1]).top1()[0] == logits[0].argmax()


def test_a_frame_that_is_not_for_runners_is_refused_and_the_session_goes_on(
    open_runner: RunnerProcess, images: NDArray[np.uint8]
) -> None:
    open_runner.send(Frame(Kind.HELLO, 9, b""))
    error = open_runner.receive()
    assert (error.kind, error.sequence) == (Kind.ERROR, 9)
    assert parse_error(error.payload)[0] == Fault.UNSUPPORTED
    assert len(ask(open_runner, images[:1])) == 1


def test_benchmark_measures_every_run_and_the_peak_memory(open_runner: RunnerProcess) -> None:
    request = BenchmarkRequest(warmup_runs=5, min_runs=50, min_seconds=0.0, max_seconds=20.0)
    open_runner.send(Frame(Kind.BENCHMARK, 3, benchmark_payload(request)))
    frame = open_runner.receive()
    assert (frame.kind, frame.sequence) == (Kind.MEASUREMENT, 3)
    measured = parse_measurement(frame.payload)
    assert measured.warmup_runs == 5
    assert len(measured.samples_ns) == 50
    assert np.all((measured.samples_ns > 100) & (measured.samples_ns < 5e9))
    assert open_runner.greeting is not None
    assert measured.load_ns == open_runner.greeting.load_ns
    assert 0 < measured.first_ns < 60e9
    status = Path(f"/proc/{open_runner.process.pid}/status")
    if status.exists():
        peak = next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if "VmHWM" in line)
        assert measured.peak_rss_bytes is not None
        assert 0.9 * peak <= measured.peak_rss_bytes <= peak


def test_a_benchmark_that_would_never_end_is_refused_and_the_session_goes_on(
    open_runner: RunnerProcess, images: NDArray[np.uint8]
) -> None:
    open_runner.send(Frame(Kind.BENCHMARK, 3, struct.pack("<IIdd", 1, 1, float("nan"), float("nan"))))
    error = open_runner.receive()
    assert (error.kind, error.sequence) == (Kind.ERROR, 3)
    assert parse_error(error.payload)[0] == Fault.WRONG_SHAPE
    assert len(ask(open_runner, images[:1])) == 1


@one_model
def test_another_model_than_asked_for_is_refused(start: Callable[..., RunnerProcess]) -> None:
    fault, words, code = start(sha256="0" * 64).refusal()
    assert (fault, code) == (Fault.WRONG_MODEL, 1)
    assert "0" * 64 in words


@each_runtime
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_a_torn_model_is_refused(
    start: Callable[..., RunnerProcess], artifact: Artifact, tmp_path: Path, kept: float
) -> None:
    whole = artifact.path.read_bytes()
    torn = whole[: int(len(whole) * kept)]
    (tmp_path / "torn").write_bytes(torn)
    fault, words, code = start(model=str(tmp_path / "torn"), sha256=sha256_bytes(torn)).refusal()
    assert (fault, code) == (Fault.MODEL_REFUSED, 1)
    assert words


@each_runtime
def test_a_model_of_the_other_runtime_is_refused(
    start: Callable[..., RunnerProcess], artifact: Artifact, exported: Callable[[str, int], Exported]
) -> None:
    other = exported("executorch_int8" if artifact.manifest.runtime == "tflite" else "tflite_int8", 1).artifact
    fault, _, code = start(model=str(other.path), sha256=other.manifest.sha256).refusal()
    assert (fault, code) == (Fault.MODEL_REFUSED, 1)


@each_runtime
def test_a_model_of_another_input_shape_than_the_command_line_s_is_refused(
    start: Callable[..., RunnerProcess],
) -> None:
    fault, words, code = start(image="8,8,1").refusal()
    assert (fault, code) == (Fault.MODEL_REFUSED, 1)
    assert "8, 8" in words


@one_model
@pytest.mark.parametrize(
    "changes",
    [
        {"model": "/nowhere/model"},
        {"policy": "topk:5"},
        {"policy": "everything"},
        {"mean": "0,0,0,0", "std": "1,1,1,1"},
        {"runtime": "abacus"},
        {"cpus": "0,two"},
        {"cpus": "0-1023"},
    ],
    ids="-".join,
)
def test_settings_that_do_not_fit_together_are_refused(
    start: Callable[..., RunnerProcess], changes: dict[str, str]
) -> None:
    fault, words, code = start(**changes).refusal()
    assert (fault, code) == (Fault.MODEL_REFUSED, 1)
    assert words


@each_runtime
def test_a_profile_is_told_where_the_runtime_has_one_and_answers_stay_as_they_are(
    kind: RunnerKind,
    start: Callable[..., RunnerProcess],
    images: NDArray[np.uint8],
    logits: NDArray[np.float32],
) -> None:
    process = start(profile="2")
    profile = process.hello().profile
    assert (profile is None) == (kind.name.startswith("python") or kind.name.endswith("tflite"))
    if profile is not None:
        assert profile["runs"] == 2
        assert [len(step["ns"]) for step in profile["steps"] if step["scope"] == "inference"] == [2]
    np.testing.assert_array_equal(ask(process, images[:20]).top1(), logits[:20].argmax(1))


@one_model
@pytest.mark.parametrize(
    "changes", [{"threads": "many"}, {"layout": "nwhc"}, {"colour": "red"}, {"profile": "some"}], ids="-".join
)
def test_a_command_line_that_cannot_be_read_ends_without_a_frame(
    start: Callable[..., RunnerProcess], changes: dict[str, str]
) -> None:
    process = start(**changes)
    assert process.end() == 2
    assert "usage" in process.words()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system knows no processor affinity")
@each_runtime
def test_the_process_keeps_to_the_processors_it_was_given(
    start: Callable[..., RunnerProcess], images: NDArray[np.uint8]
) -> None:
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) == 1:
        pytest.skip("there is one processor only")
    process = start(cpus=str(mine[-1]), threads="2")
    process.hello()
    assert os.sched_getaffinity(process.process.pid) == {mine[-1]}
    assert len(ask(process, images[:2])) == 2


@each_runtime
@pytest.mark.parametrize("last", ["nothing", "BYE", "half a frame"])
def test_the_process_ends_at_once_with_its_input(
    start: Callable[..., RunnerProcess], images: NDArray[np.uint8], last: str
) -> None:
    process = start()
    process.hello()
    assert len(ask(process, images[:2])) == 2
    if last == "BYE":
        process.send(BYE)
    elif last == "half a frame":
        process.send(encode(query(2, images))[:1000])
    began = time.monotonic()
    if last != "BYE":
        process.close_stdin()
    assert process.end() == 0
    assert time.monotonic() - began < 2


@one_model
@pytest.mark.parametrize("damage", ["magic", "version", "kind", "length", "checksum"])
def test_a_malformed_frame_ends_the_session(
    start: Callable[..., RunnerProcess], images: NDArray[np.uint8], damage: str
) -> None:
    frame = bytearray(encode(query(3, images[:1])))
    at = {"magic": 0, "version": 4, "kind": 5, "length": 15, "checksum": 16}[damage]
    frame[at] ^= 0x40
    process = start()
    process.hello()
    process.send(bytes(frame))
    error = process.receive()
    assert (error.kind, error.sequence) == (Kind.ERROR, 0)
    assert parse_error(error.payload)[0] == Fault.MALFORMED
    assert process.end() == 0


@each_runtime
def test_a_manifest_s_normalisation_is_applied_on_the_device(
    start: Callable[..., RunnerProcess], kind: RunnerKind, artifact: Artifact, images: NDArray[np.uint8]
) -> None:
    channels = artifact.manifest.image.channels
    mean, std = (0.485, 0.456, 0.406)[:channels], (0.229, 0.224, 0.225)[:channels]
    image = artifact.manifest.image.model_copy(update={"mean": mean, "std": std})
    normalised = replace(artifact, manifest=artifact.manifest.model_copy(update={"image": image}))
    process = start(mean=",".join(map(repr, mean)), std=",".join(map(repr, std)))
    process.hello()
    expected = logits_without_runner(kind, normalised, images[:300]).argmax(1)
    np.testing.assert_array_equal(ask(process, images[:300]).top1(), expected)
