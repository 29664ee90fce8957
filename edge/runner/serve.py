"""The Python runner: one process on the device, one model, spoken to over its own stdin and stdout.

Started as `python3 runner.pyz --runtime … --model … --sha256 …`. It hashes the model before it loads it and never runs
another; it ends when its stdin ends, so nothing stays behind when the cable is pulled. Standard library and numpy
only, beside the runtime itself.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from edge.runner.affinity import parse_cpus, pin
from edge.runner.engines import Classifier, find_runtime
from edge.runner.messages import (
    MAX_SAMPLES,
    BenchmarkRequest,
    Hello,
    Measurement,
    answer_payload,
    error_payload,
    hello_payload,
    images_in_frame,
    measurement_payload,
    parse_benchmark,
    parse_query,
)
from edge.runner.wire import Fault, Frame, Kind, encode, read_frame
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import ArtifactError, EdgecatError, OperatorMissingError, ProtocolError, UsageError

RUNNER = "edgecat-python 1"
_NS_MAX = np.iinfo(np.uint32).max


class InputEndedError(Exception):
    """The host closed the stream."""


@dataclass(frozen=True)
class Settings:
    """The runner's command line, parsed."""

    runtime: str
    model: Path
    sha256: str
    policy: AnswerPolicy
    threads: int
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str
    cpus: frozenset[int] | None


def parse_arguments(arguments: list[str]) -> Settings:
    """Read the command line.

    Raises:
        UsageError: numbers that cannot be read, or do not fit each other.
    """
    parser = argparse.ArgumentParser(prog="runner")
    parser.add_argument("--runtime", required=True)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--policy", default="label")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--image", required=True, help="height,width,channels")
    parser.add_argument("--mean", required=True, help="one per channel, comma-separated")
    parser.add_argument("--std", required=True)
    parser.add_argument("--layout", choices=("nhwc", "nchw"), required=True)
    parser.add_argument("--cpus", help="processors to run on, like 0,2-3; default: all")
    # The bundle has looked at it already: it decides which numpy is imported.
    parser.add_argument("--packages", type=Path, help="directory of packages that go before the device's own")
    # Native runners alone listen to a runtime's profiler.
    parser.add_argument("--profile", type=int, help="asks for what an inference is made of; this runner tells none")
    found = parser.parse_args(arguments)
    try:
        height, width, channels = (int(n) for n in found.image.split(","))
        mean, std = (tuple(float(x) for x in text.split(",")) for text in (found.mean, found.std))
    except ValueError as error:
        raise UsageError(f"--image, --mean or --std cannot be read: {error}") from error
    if not len(mean) == len(std) == channels or min(height, width, *std) <= 0:
        raise UsageError(f"image {found.image}, mean {found.mean} and std {found.std} do not fit each other")
    if found.packages is not None and not found.packages.is_dir():
        raise UsageError(f"no directory of packages at {found.packages}")
    policy = AnswerPolicy.parse(found.policy)
    return Settings(
        found.runtime,
        found.model,
        found.sha256,
        policy,
        found.threads,
        (height, width, channels),
        mean,
        std,
        found.layout,
        None if found.cpus is None else parse_cpus(found.cpus),
    )


class Runner:
    """A loaded model that answers frames."""

    def __init__(self, settings: Settings) -> None:
        # Before the runtime starts threads, which inherit it.
        if settings.cpus is not None:
            pin(settings.cpus)
        # Read once: a file that is replaced after it was hashed is not the one that runs.
        model = settings.model.read_bytes()
        digest = hashlib.sha256(model).hexdigest()
        if digest != settings.sha256:
            raise WrongModelError(f"{settings.model} has sha256 {digest}, asked for {settings.sha256}")
        load = find_runtime(settings.runtime)
        start = time.perf_counter_ns()
        engine = load(model, settings.threads)
        self.load_ns = time.perf_counter_ns() - start
        self.classifier = Classifier(engine, settings.image_shape, settings.mean, settings.std, settings.layout)
        self.settings, self.engine = settings, engine
        settings.policy.width(engine.classes)
        # A black image, so that nobody pays for lazy initialisation but this inference, which is recorded.
        self._blank = self.classifier.prepare(np.zeros((1, *settings.image_shape), np.uint8))
        start = time.perf_counter_ns()
        engine.run(self._blank)
        self.first_ns = time.perf_counter_ns() - start

    def hello(self) -> Hello:
        """Who answers here."""
        known = self.settings
        return Hello(
            RUNNER,
            self.engine.version,
            known.sha256,
            known.image_shape,
            self.engine.classes,
            str(known.policy),
            known.threads,
            self.load_ns,
        )

    def answer(self, payload: bytes) -> bytes:
        """A query's payload to its answer's."""
        images = parse_query(payload, self.settings.image_shape)
        limit = images_in_frame(self.settings.image_shape, self.settings.policy.width(self.engine.classes))
        if len(images) > limit:
            raise ProtocolError(f"the answer to {len(images)} images does not fit a frame, that to {limit} does")
        start = time.perf_counter_ns()
        tensors = self.classifier.prepare(images)
        logits = np.empty((len(images), self.engine.classes), np.float32)
        spent = np.empty(len(images), np.uint64)
        for row in range(len(images)):
            before = time.perf_counter_ns()
            logits[row] = self.engine.run(tensors[row : row + 1])
            spent[row] = time.perf_counter_ns() - before
        if not np.isfinite(logits).all():
            raise RuntimeError("the model gave logits that are no numbers")
        labels, scores = self.settings.policy.apply(logits, images)
        times = np.minimum(spent, _NS_MAX).astype(np.uint32)
        answers = Answers(self.settings.policy, self.engine.classes, labels, scores, times)
        return answer_payload(answers, time.perf_counter_ns() - start)

    def benchmark(self, request: BenchmarkRequest) -> Measurement:
        """Time single inferences, with nothing between the clock readings but the engine."""
        warmed = self._warm_up(request)
        samples: list[int] = []
        start = time.perf_counter_ns()
        while True:
            before = time.perf_counter_ns()
            self.engine.run(self._blank)
            after = time.perf_counter_ns()
            samples.append(after - before)
            seconds = (after - start) / 1e9
            enough = len(samples) >= request.min_runs and seconds >= request.min_seconds
            if enough or seconds >= request.max_seconds or len(samples) == MAX_SAMPLES:
                break
        return Measurement(self.load_ns, peak_rss_bytes(), self.first_ns, warmed, np.array(samples, np.uint64))

    def _warm_up(self, request: BenchmarkRequest) -> int:
        """How many runs were made."""
        start = time.perf_counter_ns()
        for run in range(request.warmup_runs):
            if (time.perf_counter_ns() - start) / 1e9 >= request.max_seconds:
                return run
            self.engine.run(self._blank)
        return request.warmup_runs


class WrongModelError(ArtifactError):
    """The file on the device is not the one asked for."""


def peak_rss_bytes() -> int | None:
    """Peak resident memory of this process (VmHWM); None where the system does not tell.

    Not `ru_maxrss`: that one is inherited from the parent process.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:")), None)


def serve(runner: Runner, read: Callable[[int], bytes], send: Callable[[Frame], None]) -> None:
    """Answer frames until the host says goodbye or closes.

    A frame that cannot be parsed ends the session, since what follows cannot be trusted; a bad query is answered with
    an error frame and the session goes on.
    """
    while True:
        try:
            frame = read_frame(read)
        except ProtocolError as error:
            send(Frame(Kind.ERROR, 0, error_payload(Fault.MALFORMED, error.message)))
            return
        if frame.kind == Kind.BYE:
            return
        send(_reply(runner, frame))


def _reply(runner: Runner, frame: Frame) -> Frame:
    try:
        if frame.kind == Kind.QUERY:
            return Frame(Kind.ANSWER, frame.sequence, runner.answer(frame.payload))
        if frame.kind == Kind.BENCHMARK:
            measured = runner.benchmark(parse_benchmark(frame.payload))
            return Frame(Kind.MEASUREMENT, frame.sequence, measurement_payload(measured))
        fault, words = Fault.UNSUPPORTED, f"a runner takes no {frame.kind.name}"
    except ProtocolError as error:
        fault, words = Fault.WRONG_SHAPE, error.message
    except RuntimeError as error:
        fault, words = Fault.INFERENCE_FAILED, str(error)
    return Frame(Kind.ERROR, frame.sequence, error_payload(fault, words))


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; exit code 0, or 1 where no session began (an error frame says why)."""
    stdin, stdout = _take_streams()

    def send(frame: Frame) -> None:
        stdout.write(encode(frame))
        stdout.flush()

    def read(size: int) -> bytes:
        data = stdin.read(size)
        if len(data) < size:
            raise InputEndedError
        return data

    try:
        runner = Runner(parse_arguments(sys.argv[1:] if arguments is None else arguments))
    except (EdgecatError, OSError) as error:
        send(Frame(Kind.ERROR, 0, error_payload(_fault_of(error), str(error))))
        return 1
    try:
        send(Frame(Kind.HELLO, 0, hello_payload(runner.hello())))
        serve(runner, read, send)
    except (InputEndedError, BrokenPipeError):
        pass
    return 0


def _fault_of(error: EdgecatError | OSError) -> Fault:
    if isinstance(error, WrongModelError):
        return Fault.WRONG_MODEL
    return Fault.OPERATOR_MISSING if isinstance(error, OperatorMissingError) else Fault.MODEL_REFUSED


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdout for frames alone: whatever a library prints goes to stderr."""
    frames = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, frames
