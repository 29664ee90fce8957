"""Folders that are made once, whole or not at all, by one process at a time: what is fetched or built for the cache."""

from __future__ import annotations

import fcntl
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from foundation.errors import UsageError
from foundation.progress import SILENT, Progress


def make_once(folder: Path, make: Callable[[Path], None], progress: Progress = SILENT) -> Path:
    """Make a folder unless it is there; of several processes one makes it, the others wait.

    Args:
        folder: where it shall stand.
        make: fills an empty folder, which becomes `folder` if nothing was raised.
        progress: shows that another process is waited for.

    Returns:
        `folder`.

    Raises:
        UsageError: the place cannot be written.
    """
    if folder.is_dir():
        return folder
    with locked(folder.with_name(f".{folder.name}.lock"), progress):
        if folder.is_dir():
            return folder
        # Of makers that were killed: nobody else can be making it now.
        for left in folder.parent.glob(f".{folder.name}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
        temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
        try:
            temporary.mkdir()
            make(temporary)
            temporary.rename(folder)
        except OSError as error:
            raise unwritable(folder, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


@contextmanager
def locked(path: Path, progress: Progress = SILENT) -> Iterator[None]:
    """Hold a lock among processes; waits for whoever has it. The system frees it when its holder dies.

    Raises:
        UsageError: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("w")
    except OSError as error:
        raise unwritable(path.parent, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress.task("another edgecat builds this; waiting for it"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unwritable(folder: Path, error: OSError) -> UsageError:
    """What to say of a place in the cache that cannot be written."""
    return UsageError(
        f"cannot write {folder}: {error.strerror}",
        hint="free some space, or set EDGECAT_CACHE_DIR to a place that can be written",
    )
