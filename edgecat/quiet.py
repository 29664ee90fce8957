"""Exporters and runtimes print from C++ straight to the process's streams: into a log with it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from foundation.errors import UsageError


@contextmanager
def log_output(log: Path) -> Iterator[None]:
    """Append everything that reaches stdout or stderr, from Python or beneath it, to a file for a `with` block.

    Raises:
        UsageError: the file cannot be written.
    """
    opened = _opened(log)
    saved = [os.dup(1), os.dup(2)]
    try:
        with opened as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _flush()
            os.dup2(stream.fileno(), 1)
            os.dup2(stream.fileno(), 2)
            yield
    finally:
        _flush()
        for number, original in enumerate(saved, start=1):
            os.dup2(original, number)
            os.close(original)


def _opened(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise UsageError(f"cannot write {log}: {error.strerror}", hint="choose another --out") from error


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
