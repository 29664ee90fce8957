"""The native core with an engine that answers as its model file says: no runtime, any logits, any tensor types."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.runner.building.compile import CORE, SOURCES
from edge.runner.messages import query_payload
from edge.runner.wire import Frame, Kind, encode, read_frame
from foundation.files import sha256_bytes

HERE = Path(__file__).parent
ELEMENTS = {"float32": 0, "int8": 1, "uint8": 2}
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


@dataclass(frozen=True)
class Script:
    """What stands in a scripted model.

    Attributes:
        shape: of the input, four axes.
        classes: number of logits.
        input_dtype: float32, int8 or uint8.
        input_scale: of the input's quantisation.
        input_zero_point: of it.
        output_scale: of the output's quantisation.
        output_zero_point: of it.
        rows: the stored outputs [rows, classes]; the first byte of the input chooses one. None: the output is the
            input again.
        failing_row: the row at which inference fails.
    """

    shape: tuple[int, int, int, int] = (1, 1, 1, 1)
    classes: int = 4
    input_dtype: str = "uint8"
    input_scale: float = float(np.float32(1 / 255))
    input_zero_point: int = 0
    output_scale: float = 1.0
    output_zero_point: int = 0
    rows: NDArray[np.generic] | None = None
    failing_row: int = 0xFFFFFFFF

    def model(self) -> bytes:
        """The model file."""
        rows = np.empty((0, self.classes), self.input_dtype) if self.rows is None else self.rows
        types = ELEMENTS[self.input_dtype], ELEMENTS[rows.dtype.name]
        scales = self.input_scale, self.input_zero_point, self.output_scale, self.output_zero_point
        head = struct.pack("<IIfifi5iII", *types, *scales, *self.shape, self.classes, len(rows), self.failing_row)
        return head + rows.tobytes()


def compiler() -> str:
    """A C compiler; skips where there is none."""
    found = shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no C compiler: apt-get install gcc")
    return found


@cache
def scripted_runner(folder: Path, sanitized: bool = True) -> Path:
    """The runner, built in `folder`; under sanitizers where the compiler has them, unless they are not wanted."""
    program = folder / ("scripted-runner" if sanitized else "plain-scripted-runner")
    sources = [str(SOURCES / f"{name}.c") for name in CORE] + [str(HERE / "scripted_engine.c")]
    command = [compiler(), "-O1", "-std=c11", "-D_GNU_SOURCE", "-ffp-contract=off", f"-I{SOURCES}", *sources]
    for flags in (SANITIZERS, ()) if sanitized else ((),):
        done = subprocess.run([*command, *flags, "-o", str(program)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return program
    raise AssertionError(done.stderr)


def command_line(runner: Path, path: Path, digest: str, script: Script, **changes: str) -> list[str]:
    """The words that start a runner for NHWC images of the script's shape; `changes` as on the command line."""
    _, height, width, channels = script.shape
    options = {
        "runtime": "tflite",
        "model": str(path),
        "sha256": digest,
        "image": f"{height},{width},{channels}",
        "mean": ",".join(["0"] * channels),
        "std": ",".join(["1"] * channels),
        "layout": "nhwc",
    }
    return [str(runner), *(f"--{name}={value}" for name, value in (options | changes).items())]


@dataclass(frozen=True)
class Session:
    """What a runner said from its start to its end."""

    code: int
    frames: list[Frame]
    stderr: str


class Talk:
    """Holds whole sessions with the scripted runner."""

    def __init__(self, runner: Path, folder: Path) -> None:
        self.runner, self._folder = runner, folder

    def command(self, script: Script, **changes: str) -> list[str]:
        """Write the script's model and give the words that start a runner for it."""
        model = self._folder / "model"
        model.write_bytes(script.model())
        return command_line(self.runner, model, sha256_bytes(script.model()), script, **changes)

    def __call__(self, script: Script, *sent: Frame | bytes, **changes: str) -> Session:
        """Send it all, close, and read what comes."""
        data = b"".join(frame if isinstance(frame, bytes) else encode(frame) for frame in sent)
        command = self.command(script, **changes)
        done = subprocess.run(command, input=data, capture_output=True, timeout=60, check=False)
        stdout = io.BytesIO(done.stdout)
        frames = []
        while stdout.tell() < len(done.stdout):
            frames.append(read_frame(stdout.read))
        return Session(done.returncode, frames, done.stderr.decode(errors="replace"))


def query(images: NDArray[np.uint8], sequence: int = 1) -> Frame:
    """A query of uint8 images [N, H, W, C]."""
    return Frame(Kind.QUERY, sequence, query_payload(images))
