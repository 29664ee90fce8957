"""One user, one small data set, one victim and its files, for all tests of the command line."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgecat.__main__ import main
from foundation.manifest import Artifact, load_artifact

from .command_line import CommandLine, Ended, own_environment

Spots = ((8.0, 8.0), (8.0, 24.0), (24.0, 16.0))


def spot_images(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Noise with a bright spot, uint8 [count, 32, 32], and in which of three places it is, uint8 [count, 1]."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % len(Spots))
    images = rng.normal(70, 20, (count, 32, 32))
    rows, columns = np.mgrid[:32, :32]
    for number, label in enumerate(labels):
        row, column = np.array(Spots[label]) + rng.uniform(-3, 3, 2)
        images[number] += 110 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * rng.uniform(3, 5) ** 2))
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.uint8)[:, None]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def edgecat(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """`edgecat` as a child process."""
    directory = tmp_path_factory.mktemp("edgecat")
    return CommandLine(directory, own_environment(directory / "home", free_port()))


@pytest.fixture
def edgecat_here(
    edgecat: CommandLine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """The same command line in this process, for commands that would load torch once more."""

    def call(*words: object) -> Ended:
        for name in ("ANDROID_SERIAL", "ADB_VENDOR_KEYS"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HOME", "EDGECAT_CACHE_DIR", "EDGECAT_STATE_DIR", "ANDROID_ADB_SERVER_PORT"):
            monkeypatch.setenv(name, edgecat.environment[name])
        monkeypatch.chdir(edgecat.directory)
        monkeypatch.setattr(sys, "argv", ["edgecat", *map(str, words)])
        capfd.readouterr()
        # pytest's own streams do not go through the file descriptors, a process's do.
        with (
            open(1, "w", closefd=False) as stdout,
            open(2, "w", closefd=False) as stderr,
            redirect_stdout(stdout),
            redirect_stderr(stderr),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        told = capfd.readouterr()
        return Ended(int(ended.value.code or 0), told.out, told.err)

    return call


@pytest.fixture(scope="session")
def arrays() -> dict[str, NDArray[np.uint8]]:
    """A data set in MedMNIST's layout, 32 x 32, grey, three easy classes."""
    found = {}
    for seed, (part, count) in enumerate((("train", 700), ("val", 150), ("test", 250))):
        found[f"{part}_images"], found[f"{part}_labels"] = spot_images(count, seed)
    return found


@pytest.fixture(scope="session")
def data(edgecat: CommandLine, arrays: dict[str, NDArray[np.uint8]]) -> Path:
    """The data set's file."""
    path = edgecat.directory / "spots.npz"
    np.savez(path, **arrays)
    return path


@dataclass(frozen=True)
class Walked:
    """A whole run.

    Attributes:
        directory: of the run.
        ended: what it printed.
        left: the names of what stood in the directory when it had ended.
    """

    directory: Path
    ended: Ended
    left: frozenset[str]

    @property
    def document(self) -> Any:
        """What `run --json` printed."""
        return self.ended.document()

    @property
    def artifact(self) -> Artifact:
        """What it exported."""
        return load_artifact(self.directory / "artifacts" / "tflite_int8.tflite")

    @property
    def checkpoint(self) -> Path:
        """Its victim."""
        return self.directory / "victim" / "victim.safetensors"


@pytest.fixture(scope="session")
def walked(edgecat: CommandLine, data: Path) -> Walked:
    """`edgecat run --quick --json`, once. Tests that use it are marked `device` and `export`."""
    directory = edgecat.directory / "run"
    options = "--quick --json --runtime tflite --precision int8 --pool pd:50 --budget 200 --seeds 2 --epochs 4"
    ended = edgecat("run", "--data", data, "--out", directory, *options.split())
    return Walked(directory, ended, frozenset(path.name for path in directory.iterdir()))


@pytest.fixture(scope="session")
def model(walked: Walked) -> Path:
    """A `.tflite` with its manifest."""
    return walked.artifact.path


@dataclass(frozen=True)
class Emulator:
    """A device that `edgecat emulator start` keeps running."""

    address: str
    key: Path
    serial: str


@pytest.fixture(scope="session")
def emulator(edgecat: CommandLine) -> Iterator[Emulator]:
    """One of them. Tests that use it are marked `device`."""
    told = edgecat("emulator", "start", "--name", "shared", "--json").document()
    yield Emulator(told["address"], Path(told["key"]), told["serial"])
    assert edgecat("emulator", "stop", "--name", "shared").code == 0


@pytest.fixture(scope="session")
def program(exported: Callable[[str, int], Any]) -> Path:
    """A `.pte` with its manifest, of the small network that all tests share."""
    path: Path = exported("executorch_fp32", 1).artifact.path
    return path
