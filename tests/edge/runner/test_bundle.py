"""The Python runner as it is pushed: one file that brings everything of ours, and keeps stdout for frames."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from edge.runner.bundle import runner_bundle
from edge.runner.messages import parse_answer, query_payload
from edge.runner.wire import Frame, Kind, encode, read_frame
from foundation.answers import AnswerPolicy
from foundation.files import sha256_bytes

OURS = ("foundation", "victim", "edge", "export", "attack", "benchmarks", "edgecat")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    place = tmp_path / "runner.pyz"
    place.write_bytes(runner_bundle())
    return place


def run(bundle: Path, program: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a program that finds our packages in the bundle before all others, from an empty directory."""
    empty = bundle.parent / "empty"
    empty.mkdir()
    lines = f"import sys\nsys.path.insert(0, {str(bundle)!r})\n{textwrap.dedent(program)}"
    return subprocess.run(
        [sys.executable, "-I", "-c", lines], input=stdin, capture_output=True, cwd=empty, timeout=60, check=False
    )


def test_the_same_sources_make_the_same_bytes() -> None:
    assert runner_bundle.__wrapped__() == runner_bundle.__wrapped__() == runner_bundle()


def test_everything_of_ours_that_a_runner_imports_is_in_the_bundle(bundle: Path) -> None:
    done = run(
        bundle,
        f"""
        import json
        import edge.runner.serve, edge.runner.engines.tflite, edge.runner.engines.executorch
        print(json.dumps({{n: m.__file__ for n, m in sys.modules.items() if n.partition(".")[0] in {OURS}}}))
        """,
    )
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)
    assert "edge.runner.wire" in files
    assert {name: file for name, file in files.items() if not file.startswith(f"{bundle}/")} == {}


def test_before_an_engine_is_chosen_a_runner_needs_only_numpy(bundle: Path) -> None:
    done = run(
        bundle,
        """
        before = {name.partition(".")[0] for name in sys.modules}
        import edge.runner.serve
        loaded = {name.partition(".")[0] for name in sys.modules} - before
        print(sorted(name for name in loaded if name not in sys.stdlib_module_names and not name.startswith("_")))
        """,
    )
    assert done.stdout.decode().strip() == "['edge', 'foundation', 'numpy']", done.stderr


def test_what_libraries_print_never_stands_among_the_frames(bundle: Path) -> None:
    """Python's prints, and writes of C libraries to file descriptor 1, while loading and while answering."""
    model = bundle.parent / "model"
    model.write_bytes(b"a model")
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 1), np.uint8)
    frames = [Frame(Kind.QUERY, 1, query_payload(images)), Frame(Kind.BYE, 0, b"")]
    done = run(
        bundle,
        f"""
        import os
        import numpy as np
        import edge.runner.serve as serving
        from edge.runner.engines import ModelInput

        def chatter():
            print("printed", flush=True)
            os.write(1, b"written by C\\n")

        class Chatty:
            version, classes, input = "chatty 1", 4, ModelInput((1, 2, 2, 1), np.dtype(np.float32))
            def __init__(self, *_):
                chatter()
            def run(self, image):
                chatter()
                return image.ravel()

        serving.find_runtime = lambda _: Chatty
        sys.exit(serving.main([
            "--runtime=chatty", "--model={model}", "--sha256={sha256_bytes(b"a model")}",
            "--image=2,2,1", "--mean=0", "--std=1", "--layout=nhwc",
        ]))
        """,
        b"".join(map(encode, frames)),
    )
    assert done.returncode == 0, done.stderr
    rest = memoryview(done.stdout)

    def read(size: int) -> bytes:
        nonlocal rest
        data, rest = bytes(rest[:size]), rest[size:]
        return data

    assert read_frame(read).kind == Kind.HELLO
    answers = parse_answer(read_frame(read).payload, AnswerPolicy("label"), 4)
    assert answers.top1().tolist() == images.reshape(3, 4).argmax(1).tolist()
    assert not rest
    assert done.stderr.count(b"printed") == done.stderr.count(b"written by C") >= 4
