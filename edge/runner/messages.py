"""What stands in the frames: hello, query, answer, error, benchmark request, measurement (docs/protocol.md).

Little-endian throughout. Part of what travels to the device: standard library and numpy only.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.runner.wire import MAX_PAYLOAD, Fault
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import ProtocolError, UsageError

_QUERY = struct.Struct("<II")
_ANSWER = struct.Struct("<IBBHQ")
_ERROR = struct.Struct("<H")
_BENCHMARK = struct.Struct("<IIdd")
_MEASUREMENT = struct.Struct("<QQQII")
POLICY_CODES = {
    **{"label": 0, "topk": 1, "scores": 2, "round": 3},
    **{"noise": 4, "reverse_sigmoid": 5, "confident": 6, "logits": 7},
}
MAX_ERROR_WORDS = 4096
# More do not fit into a measurement's frame.
MAX_SAMPLES = (MAX_PAYLOAD - _MEASUREMENT.size) // 8


@dataclass(frozen=True)
class Hello:
    """The runner's first frame: what it is and what it has loaded.

    Attributes:
        runner: name and version of the runner.
        engine: the runtime and its version.
        model_sha256: of the file that is loaded, hashed on the device.
        image_shape: height, width, channels of the uint8 images it takes.
        classes: number of logits.
        policy: the answer policy in force.
        threads: threads of the runtime.
        load_ns: nanoseconds from opening the model to being ready.
        profile: what an inference is made of, as the runner tells it (`edge.profiling` reads it); None where that was
            not asked for, or the runtime has no profiler.
    """

    runner: str
    engine: str
    model_sha256: str
    image_shape: tuple[int, int, int]
    classes: int
    policy: str
    threads: int
    load_ns: int
    profile: dict[str, Any] | None = None


@dataclass(frozen=True)
class BenchmarkRequest:
    """How to measure latency inside the runner's process.

    Runs at least `min_runs` and at least `min_seconds`, whichever is later, but stops after `max_seconds` or
    `MAX_SAMPLES` runs. The warm-up stops after `max_seconds` too.

    Raises:
        UsageError: a count below 0 or over `MAX_SAMPLES`, seconds that are negative, infinite or no number.
    """

    warmup_runs: int = 20
    min_runs: int = 200
    min_seconds: float = 1.0
    max_seconds: float = 30.0

    def __post_init__(self) -> None:
        counts, seconds = (self.warmup_runs, self.min_runs), (self.min_seconds, self.max_seconds)
        if any(not 0 <= n <= MAX_SAMPLES for n in counts) or any(s < 0 or not math.isfinite(s) for s in seconds):
            raise UsageError(f"a benchmark of {counts} runs and {seconds} seconds cannot be made")


@dataclass(frozen=True)
class Measurement:
    """What the runner measured.

    Attributes:
        load_ns: nanoseconds to load the model.
        peak_rss_bytes: peak resident memory of the process (VmHWM); None where the device does not tell.
        first_ns: the first inference of all, before any warm-up.
        warmup_runs: how many inferences warmed up.
        samples_ns: uint64 [runs], nanoseconds of each measured inference, batch 1.
    """

    load_ns: int
    peak_rss_bytes: int | None
    first_ns: int
    warmup_runs: int
    samples_ns: NDArray[np.uint64]


def hello_payload(hello: Hello) -> bytes:
    """JSON, UTF-8: fields may be added without a new version."""
    return json.dumps({name: value for name, value in asdict(hello).items() if value is not None}).encode()


def parse_hello(payload: bytes) -> Hello:
    """Inverse of `hello_payload`; unknown fields are passed over.

    Raises:
        ProtocolError: not JSON, or a field is missing or of the wrong type.
    """
    try:
        document = json.loads(payload)
        known = {field.name: document[field.name] for field in fields(Hello) if field.default is MISSING}
        known["profile"] = document.get("profile")
        height, width, channels = known["image_shape"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProtocolError(f"the runner's hello cannot be read: {error}") from error
    hello = Hello(**{**known, "image_shape": (height, width, channels)})
    words = (hello.runner, hello.engine, hello.model_sha256, hello.policy)
    numbers = (*hello.image_shape, hello.classes, hello.threads, hello.load_ns)
    typed = all(type(word) is str for word in words) and all(type(number) is int for number in numbers)
    if not typed or not isinstance(hello.profile, dict | None):
        raise ProtocolError("the runner's hello has fields of the wrong type")
    return hello


def query_payload(images: NDArray[np.uint8]) -> bytes:
    """uint8 images [N, H, W, C]: count and bytes per image, then the images."""
    return b"".join(query_pieces(images))


def query_pieces(images: NDArray[np.uint8]) -> tuple[bytes, memoryview]:
    """What `query_payload` gives, in two pieces: the images are not copied where they stand in one row already."""
    count = len(images)
    size = images[0].nbytes if count else 0
    return _QUERY.pack(count, size), np.ascontiguousarray(images).reshape(-1).data


def parse_query(payload: bytes, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Inverse of `query_payload`: uint8 [N, *shape].

    Raises:
        ProtocolError: not that shape, or not that many images.
    """
    if len(payload) < _QUERY.size:
        raise ProtocolError("a query without its counts")
    count, size = _QUERY.unpack_from(payload)
    expected = math.prod(shape)
    if size != expected or not count:
        raise ProtocolError(f"a query of {count} images of {size} bytes, where {expected} bytes {shape} are expected")
    if len(payload) - _QUERY.size != count * size:
        raise ProtocolError(f"a query of {count} images carries {len(payload) - _QUERY.size} bytes, not {count * size}")
    return np.frombuffer(payload, np.uint8, count * size, _QUERY.size).reshape(count, *shape)


def images_in_frame(shape: tuple[int, int, int], width: int) -> int:
    """How many images of `shape` one query can hold, so that an answer of `width` classes an image fits a frame too."""
    return min((MAX_PAYLOAD - _QUERY.size) // math.prod(shape), (MAX_PAYLOAD - _ANSWER.size) // (4 + 6 * width))


def answer_payload(answers: Answers, total_ns: int) -> bytes:
    """Count, policy, width, nanoseconds; then times, labels and scores, as far as the policy tells them."""
    count, width = answers.labels.shape
    code = POLICY_CODES[answers.policy.kind]
    parts = [_ANSWER.pack(count, code, 0, width, total_ns), answers.device_ns.astype("<u4").tobytes()]
    if answers.policy.tells_labels:
        parts.append(answers.labels.astype("<u2").tobytes())
    if answers.scores is not None:
        parts.append(answers.scores.astype("<f4").tobytes())
    return b"".join(parts)


def parse_answer(payload: bytes, policy: AnswerPolicy, classes: int) -> Answers:
    """Inverse of `answer_payload`.

    Raises:
        ProtocolError: another policy, width or size than agreed, a class that there is not, scores outside [0, 1] (or
            logits that are not finite).
    """
    width = policy.width(classes)
    if len(payload) < _ANSWER.size:
        raise ProtocolError("an answer without its head")
    count, code, _, got_width, _ = _ANSWER.unpack_from(payload)
    label_bytes = 2 * count * width if policy.tells_labels else 0
    score_bytes = 4 * count * width if policy.tells_scores else 0
    expected = _ANSWER.size + 4 * count + label_bytes + score_bytes
    if code != POLICY_CODES[policy.kind] or got_width != width or len(payload) != expected:
        raise ProtocolError(f"an answer of {len(payload)} bytes does not fit policy {policy} for {count} images")
    times = np.frombuffer(payload, "<u4", count, _ANSWER.size)
    at = _ANSWER.size + 4 * count
    scores = None
    if score_bytes:
        scores = np.frombuffer(payload, "<f4", count * width, at + label_bytes).reshape(count, width)
        if policy.kind == "logits" and not np.isfinite(scores).all():
            raise ProtocolError("an answer carries logits that are no finite numbers")
        if policy.kind != "logits" and not np.all((scores >= 0) & (scores <= 1)):
            raise ProtocolError("an answer carries scores that are no probabilities")
    if label_bytes:
        labels = np.frombuffer(payload, "<u2", count * width, at).reshape(count, width)
    else:
        labels = np.broadcast_to(np.arange(width, dtype=np.uint16), (count, width))
    if count and int(labels.max()) >= classes:
        raise ProtocolError(f"an answer names class {int(labels.max())} of {classes}")
    return Answers(
        policy,
        classes,
        np.ascontiguousarray(labels, np.uint16),
        None if scores is None else np.ascontiguousarray(scores, np.float32),
        np.ascontiguousarray(times, np.uint32),
    )


def error_payload(fault: Fault, message: str) -> bytes:
    """Code and words of an error frame."""
    return _ERROR.pack(fault) + message.encode(errors="replace")[:MAX_ERROR_WORDS]


def parse_error(payload: bytes) -> tuple[int, str]:
    """Code and words of an error frame, whatever they are."""
    if len(payload) < _ERROR.size:
        return 0, "an error frame without a code"
    return int(_ERROR.unpack_from(payload)[0]), payload[_ERROR.size :].decode(errors="replace")


def benchmark_payload(request: BenchmarkRequest) -> bytes:
    """A benchmark request as bytes."""
    return _BENCHMARK.pack(request.warmup_runs, request.min_runs, request.min_seconds, request.max_seconds)


def parse_benchmark(payload: bytes) -> BenchmarkRequest:
    """Inverse of `benchmark_payload`.

    Raises:
        ProtocolError: another size, or numbers that `BenchmarkRequest` does not take.
    """
    if len(payload) != _BENCHMARK.size:
        raise ProtocolError(f"a benchmark request of {len(payload)} bytes, not {_BENCHMARK.size}")
    try:
        return BenchmarkRequest(*_BENCHMARK.unpack(payload))
    except UsageError as error:
        raise ProtocolError(error.message) from error


def measurement_payload(measurement: Measurement) -> bytes:
    """Load time, peak memory (0: unknown), first inference, counts; then every sample."""
    head = _MEASUREMENT.pack(
        measurement.load_ns,
        measurement.peak_rss_bytes or 0,
        measurement.first_ns,
        measurement.warmup_runs,
        len(measurement.samples_ns),
    )
    return head + measurement.samples_ns.astype("<u8").tobytes()


def parse_measurement(payload: bytes) -> Measurement:
    """Inverse of `measurement_payload`.

    Raises:
        ProtocolError: the counts do not fit the size, or there is no sample.
    """
    if len(payload) < _MEASUREMENT.size:
        raise ProtocolError("a measurement without its head")
    load_ns, peak, first_ns, warmup, count = _MEASUREMENT.unpack_from(payload)
    if not count or len(payload) != _MEASUREMENT.size + 8 * count:
        raise ProtocolError(f"a measurement of {count} samples does not fit {len(payload)} bytes")
    samples = np.frombuffer(payload, "<u8", count, _MEASUREMENT.size).astype(np.uint64)
    return Measurement(load_ns, peak or None, first_ns, warmup, samples)
