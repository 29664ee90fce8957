"""Client and server as two processes, one of which dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from defense.split.processes import ServerProcess, train_in_process, train_in_processes
from defense.split.storage import SERVER_FILE
from defense.split.training import Trainer

from .conftest import config_for, halves

TRAIN = halves(48, 0)


class Watching:
    """Progress that does something once at a step of the bar."""

    def __init__(self, step: int, deed: Callable[[], None]) -> None:
        self.step, self.deed, self.done = step, deed, 0.0
        self.said: list[str] = []

    def task(self, _description: str, _total: float | None = None) -> Watching:
        return self

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, steps: float = 1, _note: str = "") -> None:
        self.done += steps
        if self.done == self.step:
            self.deed()

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the server processes that were started, in order."""
    started: list[int] = []
    start = ServerProcess.start.__func__  # type: ignore[attr-defined]

    def watched(cls: type[ServerProcess], *arguments: object, **options: object) -> ServerProcess:
        server: ServerProcess = start(cls, *arguments, **options)
        started.append(server.pid)
        return server

    monkeypatch.setattr(ServerProcess, "start", classmethod(watched))
    return started


def _same(one: Trainer, two: Trainer, first: Path, second: Path) -> bool:
    weights, others = (trainer.client.model.client.state_dict() for trainer in (one, two))
    same = all(torch.equal(tensor, others[name]) for name, tensor in weights.items())
    return same and (first / SERVER_FILE).read_bytes() == (second / SERVER_FILE).read_bytes()


def test_a_server_killed_in_the_middle_is_started_again_and_the_weights_are_those_of_an_unbroken_run(
    tmp_path: Path, pids: list[int]
) -> None:
    config = config_for(TRAIN)
    unbroken = train_in_process(config, TRAIN, tmp_path / "one")
    progress = Watching(5, lambda: os.kill(pids[0], signal.SIGKILL))
    broken = train_in_processes(config, TRAIN, tmp_path / "two", every=2, progress=progress)
    assert len(pids) == 2
    assert any("going on from step 4" in words for words in progress.said)
    assert _same(unbroken, broken, tmp_path / "one", tmp_path / "two")
    table = broken.costs.tensor()
    assert table.shape == (5, 6)
    assert bool((table > 0).all())
    # Smashed data of 16 images, 16 x 8 x 8 float32 each, and as much back.
    assert bool((table[3:] > 16 * 16 * 8 * 8 * 4).all())


def test_a_client_killed_in_the_middle_goes_on_and_its_server_does_not_stay_behind(tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, {str(Path(__file__).parents[3])!r})
        from tests.defense.split.conftest import config_for, halves
        from tests.defense.split.test_processes import Watching
        from defense.split.processes import ServerProcess, train_in_processes
        from defense.split import processes
        start = ServerProcess.start
        def told(*arguments, **options):
            server = start(*arguments, **options)
            print(server.pid, flush=True)
            return server
        ServerProcess.start = told
        train = halves(48, 0)
        watching = Watching(5, lambda: os.kill(os.getpid(), signal.SIGKILL))
        train_in_processes(config_for(train), train, Path({str(tmp_path / "two")!r}), every=2, progress=watching)
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    config = config_for(TRAIN)
    unbroken = train_in_process(config, TRAIN, tmp_path / "one")
    progress = Watching(-1, lambda: None)
    resumed = train_in_processes(config, TRAIN, tmp_path / "two", transcript=tmp_path / "seen", progress=progress)
    assert progress.said == ["going on from step 4"]
    assert _same(unbroken, resumed, tmp_path / "one", tmp_path / "two")
    with pytest.raises(ProcessLookupError):
        os.kill(int(killed.stdout), 0)
    _check_transcript(tmp_path / "seen")


def _check_transcript(seen: Path) -> None:
    """What the server saw of steps 5 and 6: smashed data, labels, the gradient it gave; no image."""
    files = sorted(path.name for path in seen.iterdir())
    assert files == ["train-00000005.safetensors", "train-00000006.safetensors"]
    held = load_file(seen / files[0])
    assert {name: tuple(tensor.shape) for name, tensor in held.items()} == {
        "z": (16, 16, 8, 8),
        "y": (16,),
        "gradient": (16, 16, 8, 8),
    }
