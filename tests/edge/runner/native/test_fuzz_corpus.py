"""What the fuzzer found worth keeping, replayed under sanitizers: whole sessions, command line included.

To fuzz on, with clang and its compiler-rt, from this directory:

    clang -g -O1 -std=c11 -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -I../../../../edge/runner/native \\
        $(ls ../../../../edge/runner/native/*.c | grep -vE '/(main|model_file|sha256|litert|tflite)\\.c') \\
        scripted_engine.c fuzz_session.c -Wl,--wrap=read -o /tmp/fuzz
    /tmp/fuzz -max_len=8192 /tmp/found corpus
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge.runner.building.compile import CORE, SOURCES

from .scripted_runner import HERE, SANITIZERS, compiler

CORPUS = HERE / "corpus"


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("fuzz") / "replay"
    sources = [SOURCES / f"{name}.c" for name in CORE if name not in ("main", "model_file", "sha256")]
    own = [HERE / f"{name}.c" for name in ("scripted_engine", "fuzz_session", "replay")]
    command = [compiler(), "-O1", "-std=c11", "-D_GNU_SOURCE", *SANITIZERS, f"-I{SOURCES}", "-Wl,--wrap=read"]
    command += [*map(str, sources + own), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "asan" in done.stderr or "ubsan" in done.stderr:
        pytest.skip("the compiler has no sanitizers: apt-get install gcc (with libasan, libubsan)")
    assert done.returncode == 0, done.stderr
    return program


def test_no_input_of_the_corpus_does_harm(replay: Path) -> None:
    paths = sorted(map(str, CORPUS.iterdir()))
    assert len(paths) > 20
    done = subprocess.run([str(replay), *paths], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(paths)} inputs\n"


def test_the_corpus_stays_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 64 << 10
