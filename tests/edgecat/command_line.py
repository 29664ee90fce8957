"""The command line as a user meets it: arguments in; exit code, stdout and stderr out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, stdout and stderr."""

    code: int
    stdout: str
    stderr: str

    def document(self) -> Any:
        """The one JSON document on stdout, of a command that did what it was asked."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout)

    def error(self, code: int) -> str:
        """The one line of the error, and its hint, of a command that ended with `code`."""
        assert self.code == code, self.stderr
        assert "Traceback" not in self.stderr
        lines = self.stderr.splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("error: ")]
        assert len(starts) == 1, self.stderr
        told = lines[starts[0] :]
        assert len(told) == 1 or (len(told) == 2 and told[1].startswith(" hint: ")), self.stderr
        return "\n".join(told)

    def refusal(self, code: int) -> str:
        """As `error`, of a command that gave no result either."""
        assert self.stdout == ""
        return self.error(code)


@dataclass(frozen=True)
class CommandLine:
    """`edgecat` as a child process, in a directory and a home of its own.

    Attributes:
        directory: where it runs.
        environment: nothing of the user's: no devices, no keys, no adb server.
    """

    directory: Path
    environment: dict[str, str]

    def __call__(self, *words: object, python: tuple[str, ...] = (), **changes: str) -> Ended:
        """Run a command to its end; `python` goes to the interpreter, `changes` into the environment."""
        done = subprocess.run(
            [sys.executable, *python, "-m", "edgecat", *map(str, words)],
            cwd=self.directory,
            env=self.environment | changes,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


def own_environment(home: Path, adb_server_port: int) -> dict[str, str]:
    """The environment of a user who has nothing yet; no adb server listens on the port."""
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ANDROID_", "ADB_", "EDGECAT_"))
    }
    return kept | {
        "HOME": str(home),
        "EDGECAT_CACHE_DIR": str(home / "cache"),
        "EDGECAT_STATE_DIR": str(home / "state"),
        "ANDROID_ADB_SERVER_PORT": str(adb_server_port),
        "OMP_WAIT_POLICY": "passive",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
