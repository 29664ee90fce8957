"""A run directory: everything that one walk down the road leaves behind.

run.toml        what was asked
victim/         the checkpoint
artifacts/      model files with their manifests
ledger.sqlite   every query paid for, and its answer; with several targets, ledgers/TARGET.sqlite
copycats/       the stolen networks, as checkpoints
queried/        some of the images that were asked about
results.jsonl   the records: what was measured
report.html     the same for people; report.md, plots/, tables/ (CSV)
"""

from __future__ import annotations

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from edgecat.settings import RunSettings, load_settings, save_settings
from foundation.errors import UsageError
from foundation.files import write_text


@dataclass(frozen=True)
class RunDirectory:
    """The places in a run directory."""

    path: Path

    @property
    def settings(self) -> Path:
        """What was asked."""
        return self.path / "run.toml"

    @property
    def checkpoint(self) -> Path:
        """The victim."""
        return self.path / "victim" / "victim.safetensors"

    @property
    def artifacts(self) -> Path:
        """Directory of the exported models."""
        return self.path / "artifacts"

    @property
    def ledger(self) -> Path:
        """Every query paid for."""
        return self.path / "ledger.sqlite"

    def ledger_of(self, artifact: str) -> Path:
        """Every query paid for to one of several targets: a ledger holds the answers of one model."""
        return self.path / "ledgers" / f"{artifact}.sqlite"

    @property
    def copycats(self) -> Path:
        """Directory of the stolen networks."""
        return self.path / "copycats"

    @property
    def results(self) -> Path:
        """The records."""
        return self.path / "results.jsonl"

    @property
    def export_log(self) -> Path:
        """What the exporters print."""
        return self.path / "artifacts" / "export.log"

    @property
    def run_id(self) -> str:
        """Identifies the run in its records; made once."""
        place = self.path / ".run-id"
        if not place.is_file():
            write_text(place, secrets.token_hex(8))
        return place.read_text().strip()

    def forget_unbegun(self) -> None:
        """Remove what a run that could not even begin left here, so that the same `--out` can be given again."""
        if self.results.exists():
            return
        for place in (self.settings, self.path / ".run-id", self.path / ".lock"):
            place.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process out of the directory.

        Raises:
            UsageError: another one is in it.
        """
        with (self.path / ".lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(f"another edgecat works in {self.path}", hint="wait for it, or choose --out") from None
            yield


def open_directory(path: Path | None, settings: RunSettings) -> RunDirectory:
    """Make a new run directory with its `run.toml`.

    Args:
        path: where; None makes `runs/DATE-TIME` in the current directory.
        settings: what is asked.

    Raises:
        UsageError: it holds a run already, or cannot be written.
    """
    if path is None:
        path = Path("runs") / datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    directory = RunDirectory(path)
    if directory.settings.exists():
        raise UsageError(f"{path} holds a run already", hint="add --resume to go on with it, or choose another --out")
    save_settings(settings, directory.settings)
    return directory


def resume_directory(path: Path | None) -> tuple[RunDirectory, RunSettings]:
    """An existing run directory and its settings.

    Args:
        path: the directory; None takes the newest below `runs/`.

    Raises:
        UsageError: there is none to resume.
        DataError: its `run.toml` cannot be read.
    """
    if path is None:
        known = sorted(Path("runs").glob("*/run.toml"))
        if not known:
            raise UsageError("no run to resume below runs/", hint="name it with --out DIR")
        path = known[-1].parent
    return RunDirectory(path), load_settings(path / "run.toml")
