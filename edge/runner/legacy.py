"""The older TFLite runtime, `tflite-runtime` 2.14, for the Python runner: its packages in a directory of their own.

It is built for numpy 1 and cannot share an environment with the exporters, which want numpy 2: importing it succeeds
there, and its first interpreter fails. So pip puts it and numpy 1 into a directory of the cache, and the runner's
process takes that directory before its own packages.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from foundation.cache import cache_directory
from foundation.errors import ArtifactError, UsageError
from foundation.folders import make_once
from foundation.progress import SILENT, Progress

# What `--runtime` calls it; a manifest calls the files that it runs `tflite`, like all others.
RUNTIME = "tflite-legacy"
VERSION = "2.14.0"
_REQUIREMENTS = (f"tflite-runtime=={VERSION}", "numpy>=1.26,<2")
_COMMAND = "edgecat runner legacy"

# An interpreter that complains of these bytes works; with the wrong numpy it could not even begin to read them.
_PROBE = """
import sys
sys.path.insert(0, sys.argv[1])
from tflite_runtime.interpreter import Interpreter
try:
    Interpreter(model_content=b"no model")
except ValueError:
    sys.exit(0)
sys.exit("it takes bytes that are no model")
"""


def directory() -> Path:
    """Where the packages stand once they are set up: a directory for each kind of Python that shares the cache."""
    python = f"{sys.implementation.cache_tag}-{sys.platform}-{platform.machine()}"
    return cache_directory("runners", f"tflite-runtime-{VERSION}-{python}")


def packages() -> Path:
    """The directory for the runner's `--packages`, absolute.

    Raises:
        UsageError: it is not set up.
    """
    place = directory()
    if not place.is_dir():
        raise UsageError(f"tflite-runtime {VERSION} is not set up on this machine", hint=_COMMAND)
    return place.absolute()


def missing() -> list[str]:
    """What keeps the runtime from answering here, each with what brings it; empty where nothing does."""
    if directory().is_dir():
        return []
    return _obstacles() or [f"tflite-runtime {VERSION} is not set up: {_COMMAND}"]


def set_up(progress: Progress = SILENT) -> Path:
    """Bring the packages by pip, with pip's own configuration, and see that they work; once is enough.

    Returns:
        `directory()`.

    Raises:
        ArtifactError: pip cannot bring them, or what it brought does not work.
        UsageError: this Python or system has no such package, or the cache cannot be written.
    """
    place = directory()
    if not place.is_dir() and (obstacles := _obstacles()):
        raise UsageError(f"cannot set up {RUNTIME}: {obstacles[0]}")

    def make(folder: Path) -> None:
        with progress.task(f"setting up tflite-runtime {VERSION}") as advance:
            _install(folder, lambda line: advance(0, line))
            _probe(folder)

    return make_once(place, make, progress)


def _obstacles() -> list[str]:
    """Why pip could never bring it, whatever the network: its makers published for these only, and stopped."""
    found = []
    if sys.platform != "linux" or not (3, 8) <= sys.version_info[:2] <= (3, 11) or sys.implementation.name != "cpython":
        found.append(
            f"tflite-runtime {VERSION} is published for Linux and CPython 3.8 to 3.11 only, this is "
            f"{platform.python_implementation()} {platform.python_version()} on {sys.platform}: use Python 3.10 or 3.11"
        )
    if find_spec("pip") is None:
        found.append(f"this Python has no pip: {sys.executable} -m ensurepip")
    return found


def _install(target: Path, tell: Callable[[str], None]) -> None:
    # --no-user: --target refuses a user's setting of the opposite.
    command = [sys.executable, "-m", "pip", "install", "--no-user", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", "--only-binary=:all:", "--target", str(target), *_REQUIREMENTS]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pip:
        assert pip.stdout is not None
        said = []
        for line in pip.stdout:
            said.append(line.strip())
            if said[-1].startswith(("Collecting", "Downloading", "Installing")):
                tell(said[-1][:60])
    if pip.returncode:
        reason = next((line for line in reversed(said) if line.startswith("ERROR:")), said[-1] if said else "no reason")
        raise ArtifactError(
            f"pip cannot bring tflite-runtime {VERSION}: {reason.removeprefix('ERROR: ')}",
            hint=f"see to it that pip reaches its index, then {_COMMAND} again",
        )


def _probe(target: Path) -> None:
    command = [sys.executable, "-I", "-c", _PROBE, str(target)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise ArtifactError(f"tflite-runtime {VERSION} does not work here: {(done.stderr.splitlines() or ['?'])[-1]}")
