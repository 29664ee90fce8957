"""Folders that are whole or absent, and programs that fetch."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import ArtifactError
from foundation.folders import unwritable

_FETCH_SECONDS = 1800


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, which is made if need be; removed in the end, whatever is in it.

    Raises:
        UsageError: the place cannot be written.
    """
    folder = parent / f".{os.getpid()}.{secrets.token_hex(4)}.partial"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise unwritable(parent, error) from error
    _clear_away(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside `folder`; on success it takes its place, on any error it is removed."""
    with temporary_folder(folder.parent) as temporary:
        content = temporary / "content"
        content.mkdir()
        yield content
        if folder.exists():
            # A folder is no file: it must make way first. What reads it meanwhile keeps the old files open.
            folder.replace(temporary / "old")
        content.replace(folder)


def _clear_away(parent: Path) -> None:
    """Remove what processes left that were killed."""
    for path in parent.glob(".*.partial"):
        process = path.name.split(".")[1]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (OSError, ValueError):
            continue


def fetch(command: Sequence[str], what: str, folder: Path | None = None) -> str:
    """Run a package client (pip, npm) in `folder`; what it printed.

    Raises:
        ArtifactError: it is not installed, failed or did not come to an end.
    """
    client = "pip" if "pip" in command[:3] else Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise ArtifactError(f"cannot fetch {what}: {client} is not installed", hint=f"install {client}") from error
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"cannot fetch {what}: {client} took over {_FETCH_SECONDS} s") from error
    if done.returncode:
        raise ArtifactError(
            f"cannot fetch {what}: {client} says: {_reason(done.stderr)}",
            hint=f"is there a network, and does {client} know a registry? {client}'s own configuration is used",
        )
    return done.stdout


def _reason(stderr: str) -> str:
    """The line that says most: the first error; where none is marked as one, the last line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    marked = [line for line in lines if "err" in line[:10].lower()]
    return (marked or lines[-1:] or ["nothing"])[0]
