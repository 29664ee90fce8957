"""A runner as a process with pipes in place of adb: what the conformance suite talks to."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge.runner.messages import Hello, parse_error, parse_hello
from edge.runner.wire import Fault, Frame, Kind, encode, read_frame
from foundation.manifest import Artifact


@dataclass(frozen=True)
class RunnerKind:
    """An implementation of the protocol under test.

    Attributes:
        name: of the implementation.
        command: its words up to the options that every runner takes.
        runtimes: the kinds of model files that it can run, as manifests name them.
        runtime: what `--runtime` calls what answers, if it is not what the manifest says.
        packages: where that runtime's packages are, if this process cannot import them.
        tolerance: how far its probabilities may be from those of the runtime that it is held against.
        emulated: its processor is not this machine's, so it is slow.
    """

    name: str
    command: tuple[str, ...]
    runtimes: tuple[str, ...]
    runtime: str | None = None
    packages: Path | None = None
    # Another exp() may round another way.
    tolerance: float = 1e-6
    emulated: bool = False


class RunnerProcess:
    """A started runner; killed when the `with` block is left. `greeting` is its hello, once that was read."""

    greeting: Hello | None = None

    def __init__(self, kind: RunnerKind, artifact: Artifact, directory: Path, **changes: str) -> None:
        image = artifact.manifest.image
        options = {
            "runtime": kind.runtime or artifact.manifest.runtime,
            "model": str(artifact.path),
            "sha256": artifact.manifest.sha256,
            "policy": "label",
            "threads": "1",
            "image": ",".join(map(str, image.shape)),
            "mean": ",".join(map(repr, image.mean)),
            "std": ",".join(map(repr, image.std)),
            "layout": artifact.manifest.input.layout,
        }
        words = [f"--{name}={value}" for name, value in (options | changes).items()]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads could fill up
        self.process = subprocess.Popen(
            [*kind.command, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=directory,
        )

    def __enter__(self) -> RunnerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self._errors.close()

    def send(self, *frames: Frame | bytes) -> None:
        assert self.process.stdin is not None
        for frame in frames:
            self.process.stdin.write(frame if isinstance(frame, bytes) else encode(frame))
        self.process.stdin.flush()

    def receive(self) -> Frame:
        return read_frame(self._read)

    def hello(self) -> Hello:
        frame = self.receive()
        assert (frame.kind, frame.sequence) == (Kind.HELLO, 0), parse_error(frame.payload)
        self.greeting = parse_hello(frame.payload)
        return self.greeting

    def refusal(self) -> tuple[Fault, str, int]:
        """Fault and words of the error frame that comes in place of a hello, and the exit code."""
        frame = self.receive()
        assert (frame.kind, frame.sequence) == (Kind.ERROR, 0)
        code, words = parse_error(frame.payload)
        return Fault(code), words, self.end()

    def end(self, seconds: float = 10) -> int:
        """The exit code, and that nothing more stands in stdout."""
        assert self.process.stdout is not None
        code = self.process.wait(seconds)
        assert self.process.stdout.read() == b""
        return code

    def words(self) -> str:
        """What stands in stderr so far."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def _read(self, size: int) -> bytes:
        assert self.process.stdout is not None
        data = self.process.stdout.read(size)
        if len(data) < size:
            code = self.process.wait(10)
            raise EOFError(f"the runner ended with {code} after {len(data)} of {size} bytes: {self.words()}")
        return data
