"""`edgecat runner`."""

from __future__ import annotations

import typer

from edgecat.cli import legacy

app = typer.Typer(no_args_is_help=True, help="What answers on a device: the runners, and the runtimes in them.")


@app.callback()
def _runner() -> None:
    """Keeps each command one of its own."""


app.command("legacy")(legacy.legacy)
