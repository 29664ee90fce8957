"""What a command shows: its result on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from foundation.progress import Advance


class Output:
    """The streams of one command; shows progress, then one result. A context manager.

    While it is open, stray prints of libraries (C++ ones too) go to stderr, so that stdout holds the result alone.

    Args:
        as_json: the result is one JSON document; else it is text for people.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._result = os.fdopen(os.dup(1), "w", encoding="utf-8")
        # Duplicates: the exporters' log takes the original numbers for a while.
        # Emoji: `emulator:phone:` in a message would lose its last word to one.
        self._console = Console(
            file=os.fdopen(os.dup(2), "w", encoding="utf-8"), highlight=False, soft_wrap=True, emoji=False
        )
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> Output:
        self._stdout = os.dup(1)
        os.dup2(2, 1)
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()
        os.dup2(self._stdout, 1)
        os.close(self._stdout)
        self._result.flush()

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """See `foundation.progress.Progress.task`."""
        number = self._bars.add_task(description, total=total, note="")

        def advance(steps: float = 1, note: str = "") -> None:
            self._bars.update(number, advance=steps, note=note)

        try:
            yield advance
        finally:
            self._bars.remove_task(number)

    def say(self, message: str) -> None:
        """See `foundation.progress.Progress.say`."""
        self._console.print(message, markup=False)

    def result(self, document: Any, text: str) -> None:
        """Give the result: `document` as JSON if that was asked for, else `text`."""
        try:
            self._result.write((json.dumps(document, indent=2, ensure_ascii=False) if self.as_json else text) + "\n")
            self._result.flush()
        except BrokenPipeError:
            # Whoever read our output has seen enough; what is still buffered goes nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._result.fileno())
            os.close(nowhere)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many cells as lines, every column as wide as its widest cell."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
