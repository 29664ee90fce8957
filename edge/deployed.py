"""A model that answers on a device: asked, measured, let go. What `attack` sees of the whole of `edge`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edge.adb.shell import ShellSession
from edge.runner.messages import (
    BenchmarkRequest,
    Hello,
    Measurement,
    benchmark_payload,
    images_in_frame,
    parse_answer,
    parse_error,
    parse_hello,
    parse_measurement,
    query_pieces,
)
from edge.runner.wire import MAX_PAYLOAD, Fault, Frame, Kind, encode, encode_prefix, read_frame
from foundation.answers import AnswerPolicy, Answers, concatenate
from foundation.errors import (
    ArtifactError,
    DataError,
    DeviceError,
    EdgecatError,
    OperatorMissingError,
    ProtocolError,
)
from foundation.manifest import Manifest

# Images in one frame at most, and frames on their way at once: enough to keep the device busy while answers travel.
FRAME_IMAGES = 256
FRAMES_IN_FLIGHT = 4
# No answer for so long, and the device counts as frozen. Emulated processors may well take seconds for one frame.
PATIENCE_SECONDS = 120.0


class DeployedModel:
    """A model that answers on a device, as a black box under its answer policy. Satisfies `attack.oracle.Oracle`.

    One session is one process on the device; it ends with `close`, or when the connection goes. One thread at a time
    may ask.

    Attributes:
        manifest: of the model.
        policy: what answers carry.
        spec: the device.
        runtime: what answers: the manifest's runtime, or another that takes such files.
        seconds_to_hello: by the host's clock, from the start of its process until it could answer.
    """

    def __init__(
        self, session: ShellSession, manifest: Manifest, policy: AnswerPolicy, spec: str, runtime: str | None = None
    ) -> None:
        self.manifest, self.policy, self.spec, self.runtime = manifest, policy, spec, runtime or manifest.runtime
        self._session = session
        self.patience = PATIENCE_SECONDS
        self._sequence = 0
        self._over = False
        # Worked out once: one image at a time is asked some thousand times a second.
        self._shape = manifest.image.shape
        self._most = images_in_frame(self._shape, policy.width(len(manifest.class_names)))
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="edgecat-send")
        start = time.monotonic()
        self._hello = self._greet()
        self.seconds_to_hello = time.monotonic() - start

    @property
    def patience(self) -> float | None:
        """Seconds without a word after which the device counts as frozen; None: never."""
        return self._session.patience

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        self._session.patience = seconds

    @property
    def classes(self) -> int:
        """How many classes the victim knows."""
        return len(self.manifest.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of the images it takes."""
        return self._shape

    @property
    def identity(self) -> str:
        """SHA-256 of the model that answers; and by what runtime, where that is not the file's own."""
        own = self.runtime == self.manifest.runtime
        return self.manifest.sha256 if own else f"{self.manifest.sha256} {self.runtime}"

    @property
    def hello(self) -> Hello:
        """What the runner said of itself."""
        return self._hello

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """Ask the device.

        Args:
            images: uint8 [N, H, W, C], N >= 1.

        Raises:
            DataError: images of another shape or dtype.
            DeviceError: the device, the runner or the way to them failed; nothing was answered.
        """
        if self._over:
            raise self._is_over()
        checked = self._checked(images)
        size = min(FRAME_IMAGES, self._most)
        parts = [checked[k : k + size] for k in range(0, len(checked), size)]
        first = self._sequence
        self._sequence = (first + len(parts)) % (1 << 32)
        try:
            return self._ask(parts[0], first) if len(parts) == 1 else self._ask_many(parts, first)
        except BaseException:
            # Also when interrupted: the answers that are still to come would be taken for those of the next query.
            self.close()
            raise

    def benchmark(self, request: BenchmarkRequest) -> Measurement:
        """Measure single inferences inside the runner's process; see `BenchmarkRequest`."""
        self._sequence = (self._sequence + 1) % (1 << 32)
        patience = self.patience
        if patience is not None:
            # Warm-up and measurement, each up to its maximum, pass in silence.
            self.patience = patience + 2 * request.max_seconds
        try:
            self._send(Frame(Kind.BENCHMARK, self._sequence, benchmark_payload(request)))
            return parse_measurement(self._expect(Kind.MEASUREMENT, self._sequence).payload)
        finally:
            self.patience = patience

    def close(self) -> None:
        """End the runner; closing twice does no harm."""
        self._over = True
        self._session.close()
        self._sender.shutdown(wait=False)

    def __enter__(self) -> DeployedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._most < 1:
            raise DataError(f"an image {self._shape} or its answer does not fit a frame of {MAX_PAYLOAD} bytes")
        if images.dtype != np.uint8 or images.shape[1:] != self._shape or not len(images):
            expected = ", ".join(map(str, self._shape))
            raise DataError(
                f"images {images.dtype} {images.shape} where uint8 (N, {expected}) are meant",
                hint="float images must be scaled to 0…255 and converted; NaN has no pixel value",
            )
        return images

    def _ask(self, part: NDArray[np.uint8], sequence: int) -> Answers:
        """One frame: sent by this thread, since the runner reads it whole before it answers."""
        self._send_query(part, sequence)
        return self._answer(part, sequence)

    def _ask_many(self, parts: list[NDArray[np.uint8]], first: int) -> Answers:
        """Several frames: another thread sends, so that the device has the next one when it has answered one."""
        window = threading.Semaphore(FRAMES_IN_FLIGHT)
        sending = self._submit(parts, first, window)
        try:
            return concatenate(list(self._answers(parts, first, window)))
        except BaseException:
            self.close()
            raise
        finally:
            self._finish(sending, window)

    def _is_over(self) -> DeviceError:
        return DeviceError("the session with the runner is over", device=self.spec, hint="deploy again")

    def _submit(self, parts: list[NDArray[np.uint8]], first: int, window: threading.Semaphore) -> Future[None]:
        try:
            return self._sender.submit(self._send_all, parts, first, window)
        except RuntimeError as error:
            raise self._is_over() from error

    def _send_all(self, parts: list[NDArray[np.uint8]], first: int, window: threading.Semaphore) -> None:
        for number, part in enumerate(parts):
            window.acquire()
            self._send_query(part, (first + number) % (1 << 32))

    def _answers(self, parts: list[NDArray[np.uint8]], first: int, window: threading.Semaphore) -> Iterator[Answers]:
        for number, part in enumerate(parts):
            answers = self._answer(part, (first + number) % (1 << 32))
            window.release()
            yield answers

    def _answer(self, part: NDArray[np.uint8], sequence: int) -> Answers:
        frame = self._expect(Kind.ANSWER, sequence)
        answers = parse_answer(frame.payload, self.policy, self.classes)
        if len(answers) != len(part):
            raise ProtocolError(f"the runner answers {len(answers)} of {len(part)} images", device=self.spec)
        return answers

    @staticmethod
    def _finish(sending: Future[None], window: threading.Semaphore) -> None:
        """Let the sender end: it may wait for a place, or for a connection that is gone."""
        if not sending.done():
            window.release(1 << 16)
        sending.exception()

    def _send_query(self, part: NDArray[np.uint8], sequence: int) -> None:
        # In pieces: a megabyte is copied, and its memory fetched from the system, four times less.
        pieces = query_pieces(part)
        self._session.write(encode_prefix(Kind.QUERY, sequence, *pieces), *pieces)

    def _send(self, frame: Frame) -> None:
        self._session.write(encode(frame))

    def _expect(self, kind: Kind, sequence: int) -> Frame:
        frame = read_frame(self._session.read)
        if frame.kind == Kind.ERROR:
            raise _as_error(*parse_error(frame.payload), self.spec)
        if frame.kind != kind or frame.sequence != sequence:
            raise ProtocolError(
                f"the runner sent {frame.kind.name} {frame.sequence} where {kind.name} {sequence} is due",
                device=self.spec,
            )
        return frame

    def _greet(self) -> Hello:
        try:
            hello = parse_hello(self._expect(Kind.HELLO, 0).payload)
        except BaseException:
            self.close()
            raise
        said = (hello.model_sha256, hello.image_shape, hello.classes, hello.policy)
        agreed = (self.manifest.sha256, self.image_shape, self.classes, str(self.policy))
        if said != agreed:
            self.close()
            raise ArtifactError(f"the runner on {self.spec} runs {said}, the manifest says {agreed}")
        return hello


def _as_error(code: int, words: str, spec: str) -> EdgecatError:
    if code in (Fault.MODEL_REFUSED, Fault.WRONG_MODEL):
        return ArtifactError(f"the runner on {spec} refuses the model: {words}")
    if code == Fault.OPERATOR_MISSING:
        return OperatorMissingError(
            f"the runner on {spec} cannot compute the model: {words}",
            hint="--runner auto brings ExecuTorch's kernels; what they lack must be delegated",
        )
    return ProtocolError(f"the runner reports: {words}", device=spec)
