"""The engines of the Python runner: they run the bytes that were hashed, and no torn ones."""

from __future__ import annotations

import os
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.runner import legacy
from edge.runner.bundle import runner_bundle
from edge.runner.engines import RUNTIMES, load_engine
from edge.runner.engines.flatbuffer import demand_whole
from edge.runner.messages import parse_answer, query_payload
from edge.runner.wire import Fault, Frame, Kind
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError, UsageError

from .runner_process import RunnerKind, RunnerProcess
from .runtime_process import logits_without_runner

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.export, pytest.mark.timeout(60, func_only=True)]

Exports = Callable[[str, int], "Exported"]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The Python runner, without options."""
    bundle = tmp_path_factory.mktemp("runner") / "runner.pyz"
    bundle.write_bytes(runner_bundle())
    return sys.executable, "-I", str(bundle)


@pytest.fixture(scope="module", params=RUNTIMES)
def kind(request: pytest.FixtureRequest, command: tuple[str, ...]) -> RunnerKind:
    """The Python runner, once for each runtime."""
    if request.param != legacy.RUNTIME:
        return RunnerKind(request.param, command, (request.param,))
    packages = request.getfixturevalue("legacy_packages")
    return RunnerKind(request.param, (*command, f"--packages={packages}"), ("tflite",), legacy.RUNTIME, packages)


@pytest.fixture
def replaced(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """A path that gives a model once, and is another file for whoever opens it a second time."""
    threads = []

    def make(model: bytes) -> Path:
        path = tmp_path / "model"
        os.mkfifo(path)

        def give() -> None:
            with path.open("wb") as stream:
                stream.write(model)
                stream.flush()
                # The reader cannot have come to the end yet: it comes when this stream is closed.
                (tmp_path / "other").write_bytes(b"a file of somebody else")
                (tmp_path / "other").replace(path)

        threads.append(threading.Thread(target=give, daemon=True))
        threads[-1].start()
        return path

    yield make
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_a_model_that_is_replaced_after_it_was_hashed_is_not_the_one_that_runs(
    kind: RunnerKind, exported: Exports, replaced: Callable[[bytes], Path], tmp_path: Path
) -> None:
    artifact = exported(f"{kind.runtimes[0]}_int8", 1).artifact
    images = np.random.default_rng(5).integers(0, 256, (200, *artifact.manifest.image.shape), np.uint8)
    path = replaced(artifact.path.read_bytes())
    with RunnerProcess(kind, artifact, tmp_path, model=str(path)) as process:
        assert process.hello().model_sha256 == artifact.manifest.sha256
        assert path.read_bytes() == b"a file of somebody else"
        process.send(Frame(Kind.QUERY, 1, query_payload(images)))
        answers = parse_answer(process.receive().payload, AnswerPolicy("label"), 4)
    np.testing.assert_array_equal(answers.top1(), logits_without_runner(kind, artifact, images).argmax(1))


def test_hello_names_the_runtime_that_answers(kind: RunnerKind, exported: Exports, tmp_path: Path) -> None:
    artifact = exported(f"{kind.runtimes[0]}_int8", 1).artifact
    with RunnerProcess(kind, artifact, tmp_path) as process:
        engine = process.hello().engine
    names = {"tflite": "LiteRT 2.3.0", "tflite-legacy": "tflite-runtime 2.14.0", "executorch": "ExecuTorch 1.5.1"}
    assert engine == names[kind.name]


@pytest.mark.parametrize(("changes", "said"), [({}, "numpy 1"), ({"packages": "/nowhere"}, "/nowhere")])
def test_the_older_runtime_is_refused_where_its_packages_are_not(
    exported: Exports, tmp_path: Path, command: tuple[str, ...], changes: dict[str, str], said: str
) -> None:
    kind = RunnerKind("bare", command, ("tflite",), legacy.RUNTIME)
    with RunnerProcess(kind, exported("tflite_int8", 1).artifact, tmp_path, **changes) as process:
        fault, words, code = process.refusal()
    assert (fault, code) == (Fault.MODEL_REFUSED, 1)
    assert said in words


def test_an_unknown_runtime_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'abacus'") as caught:
        load_engine("abacus", b"", 1)
    assert caught.value.hint == "use tflite or tflite-legacy or executorch"


@pytest.mark.parametrize("recipe", ["tflite_fp32", "tflite_int8"])
def test_a_whole_file_passes_and_every_torn_one_is_told(exported: Exports, recipe: str) -> None:
    model = exported(recipe, 1).artifact.path.read_bytes()
    demand_whole(model)
    for kept in range(len(model)):
        with pytest.raises(ArtifactError, match="torn"):
            demand_whole(model[:kept])


def test_a_garbled_file_is_told_or_passes_but_nothing_worse(exported: Exports) -> None:
    model = exported("tflite_int8", 1).artifact.path.read_bytes()
    chance, told = random.Random(0), 0
    for _ in range(3000):
        garbled = bytearray(model)
        struct.pack_into("<I", garbled, chance.randrange(8, len(model) - 4), chance.choice([0, 1 << 16, 0xFFFFFFFF]))
        try:
            demand_whole(bytes(garbled))
        except ArtifactError:
            told += 1
    assert told > 300
