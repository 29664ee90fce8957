"""Exporters and runtimes print from C++ straight to the process's streams: into a log with it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from foundation.errors import UsageError


@contextmanager
def log_output(log: Path) -> Iterator[None]:
    """Append everything that reaches stdout or stderr, from Python or beneath it, to a file for a `with` block.

    Raises:
        UsageError: the file cannot be written.
    """
    opened = _opened(log)
    _flush()
    saved = [os.dup(1), os.dup(2)]
    try:
        # In a notebook Python's streams are not the process's: both go.
        with opened as log_file, redirect_stdout(log_file), redirect_stderr(log_file), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(log_file.fileno(), 1)
            os.dup2(log_file.fileno(), 2)
            yield
    finally:
        _flush()
        for number, original in enumerate(saved, start=1):
            os.dup2(original, number)
            os.close(original)


def _opened(log: Path) -> TextIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("a", encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"cannot write {log}: {error.strerror}", hint="choose another --out") from error


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
