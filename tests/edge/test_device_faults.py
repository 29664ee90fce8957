"""What goes wrong with a deployed model ends in one clear error; nothing is lost, and it goes on from there.

On the embedded device and on sandbox:x86_64, whose adbd and shell are Android's. A model's queries are paid through a
ledger, as an attack's are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from attack.budget import BudgetedOracle
from attack.ledger import AttackIdentity, Ledger
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.deployed import DeployedModel
from edge.deployment import RunnerOptions, deploy, push_artifact, push_runner, runner_words, shell_command, start
from edge.devices import emulators, isolated
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.opening import OpenDevice
from edge.devices.system.launch import IsolatedDevice
from edge.runner.packages import RunnerPackage, choose_runner
from edge.runner.wire import VERSION
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError, DeviceError, ExitCode, ProtocolError
from foundation.manifest import Artifact

from .bad_cable import BadCable
from .devices.waiting import becomes

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(90, func_only=True)]

LABEL = AnswerPolicy("label")
NATIVE = RunnerOptions("native")


@dataclass
class Board:
    """A started device, and ways to harm it."""

    spec: str
    dial: Callable[[], socket.socket]
    key: HostKey | None
    isolated: IsolatedDevice | None = None
    embedded: EmbeddedDevice | None = None

    @contextlib.contextmanager
    def open(self, connected: socket.socket | None = None) -> Iterator[OpenDevice]:
        connection = DirectConnection.over(connected or self.dial(), self.spec, self.key)
        with OpenDevice.over(Adb(connection), self.spec) as opened:
            yield opened

    def kill(self) -> None:
        if self.isolated is not None:
            self.isolated.kill()
        elif self.embedded is not None:
            os.kill(self.embedded.pid, signal.SIGKILL)


def answers(board: Board) -> bool:
    """Whether it can be connected to."""
    with contextlib.suppress(DeviceError), board.open():
        return True
    return False


@contextlib.contextmanager
def started(spec: str, data_bytes: int | None = None) -> Iterator[Board]:
    if spec == "embedded":
        with EmbeddedDevice.start() as device:
            yield Board(
                spec, lambda: socket.create_connection(device.address), HostKey(device.key_path), embedded=device
            )
        return
    reasons = isolated.missing(spec)
    if reasons:
        pytest.skip("; ".join(reasons))
    with isolated.start(spec, isolated.StartOptions(data_bytes=data_bytes)) as machine:
        yield Board(spec, machine.connect, None, isolated=machine)


@pytest.fixture(params=["embedded", "sandbox:x86_64"])
def board(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Board]:
    monkeypatch.setenv("EDGECAT_STATE_DIR", str(tmp_path / "state"))
    with started(request.param) as made:
        yield made


@pytest.fixture
def artifact(exported: Callable[[str, int], Exported]) -> Artifact:
    return exported("tflite_int8", 1).artifact


@pytest.fixture
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (600, 16, 16, 1), np.uint8)


@pytest.fixture
def labels(artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    from export.parity import runtime_logits

    return runtime_logits(artifact, images).argmax(1)


class Asking:
    """A thread that asks on and on until something breaks."""

    def __init__(self, model: DeployedModel, images: NDArray[np.uint8]) -> None:
        self.error: BaseException | None = None
        self._model, self._images = model, images
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._begun.wait(10)

    def _run(self) -> None:
        try:
            while True:
                self._model.query(self._images)
                self._begun.set()
        except BaseException as error:  # noqa: BLE001 - the test judges it
            self.error = error

    def ends(self) -> tuple[float, DeviceError]:
        """How many seconds from now until it ended, and with what."""
        began = time.monotonic()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the query hangs"
        assert isinstance(self.error, DeviceError)
        return time.monotonic() - began, self.error


def runner_pid(device: OpenDevice) -> int:
    """Of the one runner there. The brackets keep the shell that looks from finding itself."""
    (pid,) = device.adb.shell(f"pgrep -f -- '--mode[l]={device.info.workdir}/'").stdout.split()
    return int(pid)


def still_answers(board: Board, artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    with board.open() as device, deploy(device, artifact, options=NATIVE) as model:
        np.testing.assert_array_equal(model.query(images).top1(), labels)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT], ids=lambda s: s.name)
def test_a_killed_runner(
    board: Board, artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64], number: signal.Signals
) -> None:
    """SIGKILL is also what the kernel sends when the device is out of memory."""
    with board.open() as device:
        with deploy(device, artifact, options=NATIVE) as model:
            asking = Asking(model, images)
            device.adb.check_shell(f"kill -{number.value} {runner_pid(device)}")
            seconds, error = asking.ends()
        assert seconds < 1
        assert error.exit_status == 128 + number
        with deploy(device, artifact, options=NATIVE) as again:
            np.testing.assert_array_equal(again.query(images).top1(), labels)


def test_a_runner_without_memory_for_a_query(board: Board, artifact: Artifact) -> None:
    with board.open() as device:
        remote = push_artifact(device, artifact)
        package = choose_runner("tflite", device.info.abi, device.info.bionic, preferred="native")
        words = runner_words(artifact.manifest, LABEL, remote)
        command = shell_command(push_runner(device, package), package, words)
        with device.adb.start(f"ulimit -v 60000; {command}") as session:
            model = DeployedModel(session, artifact.manifest, LABEL, board.spec)
            # A frame's head that announces as much as there may be: the runner must make room before it reads on.
            session.write(struct.pack("<4sBBHII", b"ECAT", VERSION, 2, 0, 9, 64 << 20) + bytes(4))
            with pytest.raises(DeviceError, match=r"no memory|ended"):
                model.query(np.zeros((1, 16, 16, 1), np.uint8))


def test_adbd_killed_in_the_middle_of_an_attack_costs_no_query(
    artifact: Artifact, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    """adbd comes back by itself, as Android's init lets it; the ledger goes on where it was."""
    batches = np.split(images, 6)
    identity = AttackIdentity(artifact.manifest.sha256, LABEL, "test")
    with started("sandbox:x86_64") as board, Ledger(tmp_path / "ledger.sqlite") as ledger:
        assert board.isolated is not None

        def attack(model: DeployedModel, fault: int | None) -> int:
            oracle = BudgetedOracle(model, ledger.attack(identity, 4), len(images))
            for number, batch in enumerate(batches):
                if number == fault:
                    board.isolated.kill_adbd()  # type: ignore[union-attr]
                oracle.ask(batch, ["test"] * len(batch))
            return oracle.asked

        with board.open() as device, deploy(device, artifact, options=NATIVE) as model:
            began = time.monotonic()
            with pytest.raises(DeviceError):
                attack(model, fault=3)
            assert time.monotonic() - began < 5
        # Who dials while it comes back may be refused.
        assert becomes(lambda: answers(board))
        with board.open() as device, deploy(device, artifact, options=NATIVE) as model:
            assert attack(model, fault=None) == 300
        assert len(ledger.attack(identity, 4)) == len(images)


def test_a_device_that_is_switched_off_and_on_again(
    artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64], board: Board
) -> None:
    with board.open() as device, deploy(device, artifact, options=NATIVE) as model:
        asking = Asking(model, images)
        board.kill()
        seconds, _ = asking.ends()
        assert seconds < 1
    with started(board.spec) as again:
        still_answers(again, artifact, images, labels)


def test_a_slow_cable_is_no_fault(
    board: Board, artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    cable = BadCable(board.dial())
    with board.open(cable.host_end) as device, deploy(device, artifact, options=NATIVE) as model:
        cable.piece, cable.pause = 700, 0.002
        np.testing.assert_array_equal(model.query(images[:300]).top1(), labels[:300])


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_cable_cut_in_the_middle_of_a_frame(
    board: Board, artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64], way: str
) -> None:
    cable = BadCable(board.dial())
    with board.open(cable.host_end) as device, deploy(device, artifact, options=NATIVE) as model:
        model.query(images[:1])
        began = time.monotonic()
        cable.harm_next(way, lambda data: data[: len(data) // 2])
        threading.Timer(0.1, cable.close).start()
        with pytest.raises(DeviceError):
            model.query(images)
        assert time.monotonic() - began < 1.1
    still_answers(board, artifact, images, labels)


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_byte_garbled_on_the_way_is_never_an_answer(
    board: Board, artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64], way: str
) -> None:
    cable = BadCable(board.dial())

    def garble(data: bytes) -> bytes:
        # In a piece with a frame the last byte is the frame's: adb looks at no checksum there, ours does.
        if b"ECAT" not in data:
            cable.harm_next(way, garble)
            return data
        return data[:-1] + bytes([data[-1] ^ 1])

    with board.open(cable.host_end) as device, deploy(device, artifact, options=NATIVE) as model:
        model.query(images[:1])
        cable.harm_next(way, garble)
        with pytest.raises(ProtocolError):
            model.query(images[:1])
    still_answers(board, artifact, images, labels)


def test_a_full_disk_says_so_and_nothing_half_pushed_stays(artifact: Artifact) -> None:
    with started("sandbox:x86_64", 2 << 20) as board, board.open() as device:
        with pytest.raises(DeviceError, match=r"[Nn]o space|full|room"):
            deploy(device, artifact, options=NATIVE)
        left = device.adb.check_shell(f"find {device.info.workdir} -type f -o -name '*.partial'").decode().split()
        assert not [name for name in left if "partial" in name]


def test_a_model_replaced_after_the_push_never_answers(
    board: Board, artifact: Artifact, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    with board.open() as device:
        remote = push_artifact(device, artifact)
        device.adb.push(artifact.path.read_bytes()[:-1] + b"\1", remote)
        with pytest.raises(ArtifactError, match="refuses the model"):
            start(device, remote, artifact.manifest, LABEL, NATIVE)
    still_answers(board, artifact, images, labels)


def test_a_runner_for_another_processor_says_so(
    board: Board, artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 183, 1) + bytes(44)
    package = RunnerPackage(
        "test-arm64", ("tflite",), "arm64-v8a", {"runner": foreign}, frozenset({"runner"}), ("./runner",)
    )
    monkeypatch.setattr("edge.deployment.choose_runner", lambda *_, **__: package)
    with board.open() as device, pytest.raises(DeviceError, match="cannot start the runner test-arm64") as caught:
        deploy(device, artifact)
    assert caught.value.exit_status in (126, 127)
    assert "arm64" in str(caught.value)


def test_a_second_process_on_the_device_is_refused(
    artifact: Artifact, images: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGECAT_STATE_DIR", str(tmp_path / "state"))
    record = emulators.start("leased")
    try:
        board = Board(
            record.spec, lambda: socket.create_connection(record.address or ("", 0)), HostKey(record.key or Path())
        )
        command = [sys.executable, "-m", "edgecat", "push", str(artifact.path), "--device", record.spec]
        with board.open() as device, deploy(device, artifact, options=NATIVE) as model:
            second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            assert second.returncode == ExitCode.DEVICE, second.stderr
            assert "in use" in second.stderr
            assert len(model.query(images)) == len(images)
        assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    finally:
        emulators.stop("leased")


def test_a_frozen_runner_is_given_up(board: Board, artifact: Artifact, images: NDArray[np.uint8]) -> None:
    with board.open() as device, deploy(device, artifact, options=NATIVE) as model:
        model.query(images[:1])
        device.adb.check_shell(f"kill -STOP {runner_pid(device)}")
        model.patience = 0.5
        began = time.monotonic()
        with pytest.raises(DeviceError, match="nothing came"):
            model.query(images[:1])
        assert 0.4 < time.monotonic() - began < 3
        device.adb.shell(f"pkill -KILL -f -- '--mode[l]={device.info.workdir}/'")
