"""A model on a device: pushed, started, asked. What `attack` sees of the whole of `edge`."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from edge.adb.shell import ShellSession
from edge.devices.opening import OpenDevice
from edge.runner import legacy
from edge.runner.bundle import runner_bundle
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
    query_payload,
)
from edge.runner.wire import MAX_PAYLOAD, Fault, Frame, Kind, encode, read_frame
from foundation.answers import AnswerPolicy, Answers, concatenate
from foundation.errors import ArtifactError, DataError, DeviceError, EdgecatError, ProtocolError, UsageError
from foundation.files import sha256_bytes
from foundation.manifest import Artifact, Manifest
from foundation.progress import SILENT, Progress

# Images in one frame at most, and frames on their way at once: enough to keep the device busy while answers travel.
FRAME_IMAGES = 256
FRAMES_IN_FLIGHT = 4


def push_artifact(device: OpenDevice, artifact: Artifact, progress: Progress = SILENT) -> str:
    """Bring a model and its manifest to the device, whole and verified there; what is there already is not sent again.

    Returns:
        the model's path on the device.
    """
    manifest = artifact.manifest
    folder = f"{device.info.workdir}/models"
    remote = f"{folder}/{manifest.sha256[:16]}-{artifact.path.name}"
    device.adb.check_shell(f"mkdir -p {shlex.quote(folder)}")
    device.adb.push_verified(artifact.path, remote, progress=progress)
    device.adb.push_verified(artifact.manifest_path, f"{remote}.json", progress=progress)
    return remote


def push_runner(device: OpenDevice) -> str:
    """Bring the Python runner to the device; its path there."""
    bundle = runner_bundle()
    remote = f"{device.info.workdir}/runner-{sha256_bytes(bundle)[:16]}.pyz"
    device.adb.check_shell(f"mkdir -p {shlex.quote(device.info.workdir)}")
    device.adb.push_verified(bundle, remote)
    return remote


class DeployedModel:
    """A model that answers on a device, as a black box under its answer policy. Satisfies `attack.oracle.Oracle`.

    One session is one process on the device; it ends with `close`, or when the connection goes.
    """

    def __init__(self, session: ShellSession, manifest: Manifest, policy: AnswerPolicy, spec: str) -> None:
        self.manifest, self.policy, self.spec = manifest, policy, spec
        self._session = session
        self._sequence = 0
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="edgecat-send")
        self._hello = self._greet()

    @property
    def classes(self) -> int:
        """How many classes the victim knows."""
        return len(self.manifest.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of the images it takes."""
        return self.manifest.image.shape

    @property
    def identity(self) -> str:
        """SHA-256 of the model that answers."""
        return self.manifest.sha256

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
        checked = self._checked(images)
        size = min(FRAME_IMAGES, images_in_frame(self.image_shape, self.policy.width(self.classes)))
        parts = [checked[k : k + size] for k in range(0, len(checked), size)]
        first = self._sequence
        self._sequence = (first + len(parts)) % (1 << 32)
        window = threading.Semaphore(FRAMES_IN_FLIGHT)
        sending = self._submit(parts, first, window)
        try:
            return concatenate(list(self._answers(parts, first, window)))
        except BaseException:
            # Also when interrupted: the answers that are still to come would be taken for those of the next query.
            self.close()
            raise
        finally:
            self._finish(sending, window)

    def benchmark(self, request: BenchmarkRequest) -> Measurement:
        """Measure single inferences inside the runner's process; see `BenchmarkRequest`."""
        self._sequence = (self._sequence + 1) % (1 << 32)
        self._send(Frame(Kind.BENCHMARK, self._sequence, benchmark_payload(request)))
        return parse_measurement(self._expect(Kind.MEASUREMENT, self._sequence).payload)

    def close(self) -> None:
        """End the runner; closing twice does no harm."""
        self._session.close()
        self._sender.shutdown(wait=False)

    def __enter__(self) -> DeployedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if images_in_frame(self.image_shape, self.policy.width(self.classes)) < 1:
            raise DataError(f"an image {self.image_shape} or its answer does not fit a frame of {MAX_PAYLOAD} bytes")
        if images.dtype != np.uint8 or images.shape[1:] != self.image_shape or not len(images):
            expected = ", ".join(map(str, self.image_shape))
            raise DataError(
                f"images {images.dtype} {images.shape} where uint8 (N, {expected}) are meant",
                hint="float images must be scaled to 0…255 and converted; NaN has no pixel value",
            )
        return images

    def _submit(self, parts: list[NDArray[np.uint8]], first: int, window: threading.Semaphore) -> Future[None]:
        try:
            return self._sender.submit(self._send_all, parts, first, window)
        except RuntimeError as error:
            raise DeviceError("the session with the runner is over", device=self.spec, hint="deploy again") from error

    def _send_all(self, parts: list[NDArray[np.uint8]], first: int, window: threading.Semaphore) -> None:
        for number, part in enumerate(parts):
            window.acquire()
            self._send(Frame(Kind.QUERY, (first + number) % (1 << 32), query_payload(part)))

    def _answers(self, parts: list[NDArray[np.uint8]], first: int, window: threading.Semaphore) -> Iterator[Answers]:
        for number, part in enumerate(parts):
            frame = self._expect(Kind.ANSWER, (first + number) % (1 << 32))
            window.release()
            answers = parse_answer(frame.payload, self.policy, self.classes)
            if len(answers) != len(part):
                raise ProtocolError(f"the runner answers {len(answers)} of {len(part)} images", device=self.spec)
            yield answers

    @staticmethod
    def _finish(sending: Future[None], window: threading.Semaphore) -> None:
        """Let the sender end: it may wait for a place, or for a connection that is gone."""
        if not sending.done():
            window.release(1 << 16)
        sending.exception()

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
    return ProtocolError(f"the runner reports: {words}", device=spec)


def start(
    device: OpenDevice,
    remote: str,
    manifest: Manifest,
    policy: AnswerPolicy,
    threads: int = 1,
    runtime: str | None = None,
) -> DeployedModel:
    """Start the runner on a model that is on the device already.

    Args:
        device: where.
        remote: the model's path there.
        manifest: what it must be; the runner refuses any other file.
        policy: what answers may carry.
        threads: threads of the runtime.
        runtime: what answers: None for the manifest's own, or `tflite-legacy` for a `.tflite` file.

    Raises:
        ArtifactError: the file there is another, or the runtime refuses it.
        DeviceError: the runner cannot be started.
        UsageError: the runtime does not run such files, or not on this device, or is not set up.
    """
    policy.width(len(manifest.class_names))
    options = _runtime_options(device, manifest, runtime)
    runner = push_runner(device)
    image = manifest.image
    arguments = {
        **options,
        "model": remote,
        "sha256": manifest.sha256,
        "policy": str(policy),
        "threads": str(threads),
        "image": ",".join(map(str, image.shape)),
        "mean": ",".join(map(repr, image.mean)),
        "std": ",".join(map(repr, image.std)),
        "layout": manifest.input.layout,
    }
    words = [f"--{name}={shlex.quote(value)}" for name, value in arguments.items()]
    session = device.adb.start(f"exec python3 {shlex.quote(runner)} {' '.join(words)}")
    try:
        return DeployedModel(session, manifest, policy, device.info.spec)
    except DeviceError as error:
        if error.exit_status == 127:
            raise DeviceError(
                "the device has no python3 for the Python runner",
                device=device.info.spec,
                exit_status=127,
                hint="use the embedded device, or a board that has Python and the runtime",
            ) from error
        raise


def _runtime_options(device: OpenDevice, manifest: Manifest, runtime: str | None) -> dict[str, str]:
    """The runner's options that say what answers."""
    if runtime in (None, manifest.runtime):
        return {"runtime": manifest.runtime}
    if runtime != legacy.RUNTIME or manifest.runtime != "tflite":
        raise UsageError(f"{runtime} does not run {manifest.name}", hint=f"its runtime is {manifest.runtime}")
    if device.info.kind != "embedded":
        raise UsageError(
            f"{runtime} answers only where this machine's Python and files are, {device.info.spec} has its own",
            hint="--device embedded",
        )
    return {"runtime": legacy.RUNTIME, "packages": str(legacy.packages())}


def deploy(
    device: OpenDevice,
    artifact: Artifact,
    policy: AnswerPolicy | None = None,
    threads: int = 1,
    progress: Progress = SILENT,
    runtime: str | None = None,
) -> DeployedModel:
    """Push a model and start it; see `push_artifact` and `start`."""
    _runtime_options(device, artifact.manifest, runtime)
    remote = push_artifact(device, artifact, progress)
    return start(device, remote, artifact.manifest, policy or AnswerPolicy("label"), threads, runtime)
