"""edgecat as a user starts it, for benchmarks that measure what a user gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

EDGECAT = [sys.executable, "-m", "edgecat"]


def run_edgecat(words: list[str]) -> dict[str, Any]:
    """Run a command to its end and give its JSON document.

    Raises:
        subprocess.CalledProcessError: it failed; standard error has told why.
    """
    # One thread a process: two that wait for each other are slower where anything else runs.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*EDGECAT, *words, "--json"], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document
