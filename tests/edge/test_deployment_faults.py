"""What goes wrong in the middle of a query is an error at once: nothing hangs, nothing false is taken for an answer."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.adb.shell import ShellSession
from edge.deployed import DeployedModel
from edge.deployment import deploy
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.opening import OpenDevice, open_device
from edge.runner.messages import BenchmarkRequest, Hello, answer_payload, error_payload, hello_payload, parse_query
from edge.runner.wire import MAX_PAYLOAD, Fault, Frame, Kind, encode, read_frame
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import ArtifactError, DataError, DeviceError, ProtocolError
from foundation.manifest import Artifact, ImageSpec, Manifest, TensorSpec

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = pytest.mark.timeout(60, func_only=True)

LABEL = AnswerPolicy("label")
SHA256 = "0" * 64

# --- a runner that misbehaves

Behaviour = Callable[[Frame], Iterable[Frame | bytes]]


class ScriptedSession:
    """Stands where a shell session stands; answers each frame as it is told."""

    def __init__(self, hello: Frame | bytes, behaviour: Behaviour, stalls: bool = False) -> None:
        self._behaviour, self._stalls = behaviour, stalls
        self._output: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._left = b""
        self.patience: float | None = None
        self.closed = threading.Event()
        self.queries: list[int] = []
        self._put([hello])

    def write(self, *pieces: bytes | memoryview) -> None:
        if self.closed.is_set() or (self._stalls and self.closed.wait()):
            raise DeviceError("the session is closed")
        rest = memoryview(b"".join(pieces))

        def read(size: int) -> bytes:
            nonlocal rest
            piece, rest = bytes(rest[:size]), rest[size:]
            return piece

        frame = read_frame(read)
        self.queries.append(frame.sequence)
        self._put(self._behaviour(frame))

    def read(self, size: int) -> bytes:
        while len(self._left) < size:
            piece = self._output.get()
            if not piece:
                raise DeviceError("the runner ended")
            self._left += piece
        data, self._left = self._left[:size], self._left[size:]
        return data

    def close(self) -> None:
        self.closed.set()
        self._output.put(b"")

    def _put(self, frames: Iterable[Frame | bytes]) -> None:
        for frame in frames:
            self._output.put(frame if isinstance(frame, bytes) else encode(frame))


def manifest(shape: tuple[int, int, int] = (2, 2, 1)) -> Manifest:
    height, width, channels = shape
    return Manifest(
        name="scripted",
        file="scripted.tflite",
        bytes=1,
        sha256=SHA256,
        runtime="tflite",
        precision="fp32",
        versions={},
        recipe="tflite_fp32",
        image=ImageSpec(height=height, width=width, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels),
        input=TensorSpec(shape=(1, *shape), dtype="float32", layout="nhwc"),
        output=TensorSpec(shape=(1, 4), dtype="float32", layout="nc"),
        class_names=("a", "b", "c", "d"),
        victim_sha256=SHA256,
    )


def greeting(**changes: object) -> Frame:
    fields = {
        "runner": "scripted",
        "engine": "none",
        "model_sha256": SHA256,
        "image_shape": (2, 2, 1),
        "classes": 4,
        "policy": "label",
        "threads": 1,
        "load_ns": 1,
    }
    return Frame(Kind.HELLO, 0, hello_payload(Hello(**(fields | changes))))  # type: ignore[arg-type]


def answer(frame: Frame, count: int | None = None, sequence: int | None = None) -> Frame:
    """A right answer to a query of 2 x 2 x 1 images, unless told otherwise."""
    images = parse_query(frame.payload, (2, 2, 1)).reshape(-1, 4)[:count]
    labels = images.argmax(1).astype(np.uint16)[:, None]
    answers = Answers(LABEL, 4, labels, None, np.ones(len(labels), np.uint32))
    return Frame(Kind.ANSWER, frame.sequence if sequence is None else sequence, answer_payload(answers, 1))


def honest(frame: Frame) -> list[Frame]:
    return [answer(frame)]


def model_over(session: ScriptedSession, shape: tuple[int, int, int] = (2, 2, 1)) -> DeployedModel:
    return DeployedModel(cast(ShellSession, session), manifest(shape), LABEL, "scripted")


IMAGES = np.random.default_rng(0).integers(0, 256, (1100, 2, 2, 1), np.uint8)


def test_an_honest_script_is_believed() -> None:
    model = model_over(ScriptedSession(greeting(), honest))
    for _ in range(2):
        np.testing.assert_array_equal(model.query(IMAGES).top1(), IMAGES.reshape(-1, 4).argmax(1))


def damaged(frame: Frame) -> bytes:
    whole = bytearray(encode(answer(frame)))
    whole[-1] ^= 1
    return bytes(whole)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (lambda frame: [answer(frame, count=len(frame.payload) // 8)], "answers .* of .* images"),
        (lambda frame: [answer(frame, sequence=frame.sequence + 1)], "where ANSWER 0 is due"),
        (lambda frame: [Frame(Kind.HELLO, frame.sequence, b"")], "sent HELLO"),
        (lambda frame: [Frame(Kind.ANSWER, frame.sequence, b"")], "without its head"),
        (lambda frame: [damaged(frame)], "damaged"),
        (lambda _: [b"Traceback (most recent call last):\n"], "starts with b'Trac'"),
        (lambda frame: [Frame(Kind.ERROR, frame.sequence, error_payload(Fault.INFERENCE_FAILED, "hot"))], "hot"),
        (lambda frame: [Frame(Kind.ERROR, frame.sequence, b"")], "without a code"),
        (lambda _: [b""], "ended"),
    ],
    ids=["too few", "another sequence", "another kind", "empty", "crc", "text", "error", "empty error", "end"],
)
def test_an_answer_that_is_none_ends_the_session(behaviour: Behaviour, words: str) -> None:
    session = ScriptedSession(greeting(), behaviour)
    model = model_over(session)
    with pytest.raises(DeviceError, match=words):
        model.query(IMAGES)
    assert session.closed.is_set()
    with pytest.raises(DeviceError, match="is over"):
        model.query(IMAGES[:1])


@pytest.mark.parametrize(
    ("hello", "error"),
    [
        (greeting(model_sha256="1" * 64), ArtifactError),
        (greeting(image_shape=(2, 3, 1)), ArtifactError),
        (greeting(classes=5), ArtifactError),
        (greeting(policy="scores"), ArtifactError),
        (Frame(Kind.ERROR, 0, error_payload(Fault.WRONG_MODEL, "another")), ArtifactError),
        (Frame(Kind.ERROR, 0, error_payload(Fault.MODEL_REFUSED, "torn")), ArtifactError),
        (Frame(Kind.ERROR, 0, error_payload(Fault.MALFORMED, "?")), ProtocolError),
        (Frame(Kind.HELLO, 0, b"{}"), ProtocolError),
        (Frame(Kind.BYE, 0, b""), ProtocolError),
        (b"sh: python3: inaccessible or not found\n", ProtocolError),
    ],
)
def test_a_runner_that_is_not_what_was_asked_for_is_let_go(hello: Frame | bytes, error: type[Exception]) -> None:
    session = ScriptedSession(hello, honest)
    with pytest.raises(error):
        model_over(session)
    assert session.closed.is_set()


def test_large_images_travel_in_frames_below_the_limit() -> None:
    """256 slices of 512 x 512 would be 8 bytes more than a frame may hold."""
    sizes: list[int] = []

    def measure(frame: Frame) -> list[Frame]:
        sizes.append(len(frame.payload))
        count = (len(frame.payload) - 8) >> 18
        answers = Answers(LABEL, 4, np.zeros((count, 1), np.uint16), None, np.ones(count, np.uint32))
        return [Frame(Kind.ANSWER, frame.sequence, answer_payload(answers, 1))]

    model = model_over(ScriptedSession(greeting(image_shape=(512, 512, 1)), measure), (512, 512, 1))
    assert len(model.query(np.zeros((256, 512, 512, 1), np.uint8))) == 256
    assert sizes == [8 + (255 << 18), 8 + (1 << 18)]


def test_an_image_larger_than_a_frame_is_a_data_error() -> None:
    shape = (8192, 8193, 1)
    model = model_over(ScriptedSession(greeting(image_shape=shape), honest), shape)
    with pytest.raises(DataError, match=f"does not fit a frame of {MAX_PAYLOAD} bytes"):
        model.query(np.zeros((1, *shape), np.uint8))


def test_an_interrupted_query_ends_the_session_and_does_not_wait_for_the_sender() -> None:
    """Ctrl-C while the device takes no more input: the sender is stuck in the middle of a frame."""
    session = ScriptedSession(greeting(), honest, stalls=True)
    model = model_over(session)

    def read(_: int) -> bytes:
        raise KeyboardInterrupt

    session.read = read  # type: ignore[method-assign]
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.query(IMAGES)
    assert time.monotonic() - began < 2
    assert session.closed.is_set()


def test_no_more_than_four_frames_are_under_way() -> None:
    silent = ScriptedSession(greeting(), lambda _: [])
    model = model_over(silent)

    def ask() -> None:
        with pytest.raises(DeviceError, match="ended"):
            model.query(IMAGES.repeat(3, axis=0))

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + 5
    while len(silent.queries) < 4 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    assert silent.queries == [0, 1, 2, 3]
    silent.close()
    asking.join(5)
    assert not asking.is_alive()


# --- a device that fails


@pytest.fixture
def own_device(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> Iterator[tuple[EmbeddedDevice, OpenDevice]]:
    """A device that a test may kill."""
    monkeypatch.setenv("EDGECAT_STATE_DIR", str(tmp_path))
    with EmbeddedDevice.start() as device:
        host, port = device.address
        with open_device(f"tcp:{host}:{port}", key=device.key_path) as opened:
            yield device, opened


@pytest.fixture
def artifact(exported: Callable[[str, int], Exported]) -> Artifact:
    return exported("tflite_int8", 1).artifact


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (20, 16, 16, 1), np.uint8)


class LongQuery:
    """A query that would take many seconds, in a thread; how and when it ends."""

    def __init__(self, model: DeployedModel) -> None:
        self._model = model
        self._images = np.zeros((400_000, 16, 16, 1), np.uint8)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        time.sleep(0.4)
        assert self._thread.is_alive(), "the query is over before it could be disturbed"

    def _run(self) -> None:
        try:
            self._model.query(self._images)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test judges it
            self.error = error

    def seconds_to_end(self) -> float:
        began = time.monotonic()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the query hangs"
        return time.monotonic() - began


def runner_pids(device: OpenDevice) -> list[int]:
    """Of the runners here, by the model that they hold. The brackets keep the shell that looks from finding itself."""
    said = device.adb.shell(f"pgrep -f -- '--mode[l]={device.info.workdir}/'").stdout
    return [int(word) for word in said.split()]


def kill_runner(device: OpenDevice) -> None:
    (pid,) = runner_pids(device)
    device.adb.check_shell(f"kill -9 {pid}")


@pytest.mark.device
@pytest.mark.export
def test_a_runner_killed_in_the_middle_of_a_query_is_a_device_error_at_once(
    own_device: tuple[EmbeddedDevice, OpenDevice], artifact: Artifact, images: NDArray[np.uint8]
) -> None:
    _, opened = own_device
    with deploy(opened, artifact) as model:
        asking = LongQuery(model)
        kill_runner(opened)
        assert asking.seconds_to_end() < 2
        assert isinstance(asking.error, DeviceError)
        assert asking.error.exit_status == 128 + signal.SIGKILL
        with pytest.raises(DeviceError, match="is over"):
            model.query(images)
    with deploy(opened, artifact) as again:
        assert len(again.query(images)) == len(images)


@pytest.mark.device
@pytest.mark.export
def test_a_device_that_dies_in_the_middle_of_a_query_is_a_device_error_at_once(
    own_device: tuple[EmbeddedDevice, OpenDevice], artifact: Artifact
) -> None:
    device, opened = own_device
    with deploy(opened, artifact) as model:
        asking = LongQuery(model)
        os.kill(device.pid, signal.SIGKILL)
        assert asking.seconds_to_end() < 2
        assert isinstance(asking.error, DeviceError)


@pytest.mark.device
@pytest.mark.export
def test_a_session_closed_by_another_thread_ends_its_query(
    own_device: tuple[EmbeddedDevice, OpenDevice], artifact: Artifact
) -> None:
    _, opened = own_device
    model = deploy(opened, artifact)
    asking = LongQuery(model)
    model.close()
    assert asking.seconds_to_end() < 2
    assert isinstance(asking.error, DeviceError)


@pytest.mark.device
@pytest.mark.export
def test_a_runner_killed_in_the_middle_of_a_benchmark_is_a_device_error(
    own_device: tuple[EmbeddedDevice, OpenDevice], artifact: Artifact
) -> None:
    _, opened = own_device
    with deploy(opened, artifact) as model:
        killer = threading.Timer(0.3, kill_runner, (opened,))
        killer.start()
        with pytest.raises(DeviceError) as caught:
            model.benchmark(BenchmarkRequest(0, 1, 10.0, 10.0))
        killer.join()
        assert caught.value.exit_status == 128 + signal.SIGKILL


@pytest.mark.device
@pytest.mark.export
def test_the_runner_ends_with_its_session(own_device: tuple[EmbeddedDevice, OpenDevice], artifact: Artifact) -> None:
    _, opened = own_device
    with deploy(opened, artifact):
        assert len(runner_pids(opened)) == 1
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        if not runner_pids(opened):
            return
        time.sleep(0.05)
    pytest.fail("the runner lives on")
