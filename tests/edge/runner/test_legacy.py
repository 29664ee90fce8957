"""The older TFLite runtime's packages: brought by pip once, seen to work, whole or not there at all."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.runner import legacy
from foundation.errors import ArtifactError, UsageError

pytestmark = pytest.mark.timeout(120)

# In the place of pip: told what to do by the words before, as `python -c PROGRAM`.
WORKING = """
import pathlib, sys
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1])
package = target / "tflite_runtime"
package.mkdir(parents=True)
(package / "interpreter.py").write_text({interpreter!r})
print("Installing collected packages: numpy, tflite-runtime")
"""
REFUSES = "class Interpreter:\n    def __init__(self, model_content):\n        raise ValueError('no model')\n"
WRONG_NUMPY = "class Interpreter:\n    def __init__(self, model_content):\n        raise SystemError('_ARRAY_API')\n"
TAKES_ALL = "class Interpreter:\n    def __init__(self, model_content):\n        pass\n"
UNREACHABLE = "print('Looking in indexes: none'); print('ERROR: No matching distribution found'); raise SystemExit(1)"


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a Python for which the packages were published."""
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "version_info", (3, 11, 7, "final", 0))
    return legacy.directory()


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[list[str]]]:
    """Puts a program into pip's place; gives the commands that were run."""
    popen = subprocess.Popen

    def replace(program: str) -> list[list[str]]:
        asked: list[list[str]] = []

        def start(command: list[str], **options: object) -> object:
            if command[1:3] != ["-m", "pip"]:
                return popen(command, **options)  # type: ignore[call-overload]
            asked.append(command[3:])
            return popen([sys.executable, "-c", program, *command[3:]], **options)  # type: ignore[call-overload]

        monkeypatch.setattr(subprocess, "Popen", start)
        return asked

    return replace


def left(place: Path) -> list[str]:
    return sorted(path.name for path in place.parent.glob("*") if not path.name.endswith(".lock"))


def test_it_is_set_up_once(place: Path, pip: Callable[[str], list[list[str]]]) -> None:
    asked = pip(WORKING.format(interpreter=REFUSES))
    assert legacy.missing() == ["tflite-runtime 2.14.0 is not set up: edgecat runner legacy"]
    with pytest.raises(UsageError, match="not set up") as caught:
        legacy.packages()
    assert caught.value.hint == "edgecat runner legacy"
    assert legacy.set_up() == legacy.set_up() == legacy.packages() == place
    assert len(asked) == 1
    assert {"install", "--only-binary=:all:", "tflite-runtime==2.14.0", "numpy>=1.26,<2"} <= set(asked[0])
    assert legacy.missing() == []
    assert left(place) == [place.name]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (UNREACHABLE, "No matching distribution found"),
        ("raise SystemExit(3)", "no reason"),
        (WORKING.format(interpreter=WRONG_NUMPY), "_ARRAY_API"),
        (WORKING.format(interpreter=TAKES_ALL), "no model"),
        (WORKING.format(interpreter="import nothing_of_that_name"), "nothing_of_that_name"),
    ],
    ids=["unreachable", "silent", "wrong numpy", "takes all", "not importable"],
)
def test_what_does_not_come_or_does_not_work_leaves_nothing(
    place: Path, pip: Callable[[str], list[list[str]]], program: str, said: str
) -> None:
    pip(program)
    with pytest.raises(ArtifactError, match=said):
        legacy.set_up()
    assert left(place) == []
    assert not list(place.parent.glob(".*.partial"))
    assert legacy.missing() != []


def test_what_a_kill_left_is_removed(place: Path, pip: Callable[[str], list[list[str]]]) -> None:
    torn = place.with_name(f".{place.name}.0123.partial")
    (torn / "numpy").mkdir(parents=True)
    pip(WORKING.format(interpreter=REFUSES))
    legacy.set_up()
    assert not torn.exists()


def test_two_at_once_do_the_work_once(place: Path, pip: Callable[[str], list[list[str]]]) -> None:
    asked = pip(WORKING.format(interpreter=REFUSES))
    threads = [threading.Thread(target=legacy.set_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1
    assert left(place) == [place.name]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("platform", "darwin", "published for Linux"),
        ("version_info", (3, 12, 0, "final", 0), "use Python 3.10 or 3.11"),
    ],
)
def test_a_python_for_which_it_was_never_published_is_told_so(
    monkeypatch: pytest.MonkeyPatch, pip: Callable[[str], list[list[str]]], name: str, value: object, said: str
) -> None:
    asked = pip(UNREACHABLE)
    monkeypatch.setattr(sys, name, value)
    with pytest.raises(UsageError, match=said):
        legacy.set_up()
    assert asked == []
    assert said in legacy.missing()[0]


def test_a_cache_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot write"):
        legacy.set_up()


def test_pythons_that_share_a_cache_share_no_packages(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "another")
    assert legacy.directory() != place


def test_what_pip_brings_holds_numpy_1_and_the_runtime(legacy_packages: Path) -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1])\n"
    program += (
        "import numpy; from importlib.metadata import version; print(numpy.__version__, version('tflite-runtime'))"
    )
    command = [sys.executable, "-I", "-c", program, str(legacy_packages)]
    numpy, runtime = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert numpy.startswith("1.")
    assert runtime == legacy.VERSION
