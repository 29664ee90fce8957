"""Files that are whole or absent, and the hashes that identify them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.errors import UsageError


@contextmanager
def replacing(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Give a temporary name beside `path`; on success it becomes `path`, on any error it is removed.

    Args:
        path: the file to write; its directory is made if need be.
        mode: permission bits of the new file (before any byte is in it), or None for the umask's.

    Raises:
        UsageError: the place cannot be written.
    """
    path = Path(path)
    # A part of the name: the whole of it may leave no room for more.
    temporary = path.parent / f".{path.name[:40]}.{os.getpid()}.{secrets.token_hex(4)}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise _unwritable(path, f"{path.parent} is not a directory") from error
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    try:
        if mode is not None:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (temporary, path):
            raise
        raise _unwritable(path, error.strerror or str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, reason: str) -> UsageError:
    return UsageError(f"cannot write {path}: {reason}", hint="choose another place, or free some space")


def write_bytes(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write `data` to `path`, whole or not at all."""
    with replacing(path, mode=mode) as temporary, temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    write_bytes(path, text.encode())


def sha256_bytes(data: bytes | bytearray | memoryview) -> str:
    """SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sha256_arrays(*arrays: NDArray[Any]) -> str:
    """SHA-256 over dtypes, shapes and contents of arrays, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def file_name(*words: str) -> str:
    """Words as one file name that every file system takes; where letters had to go, a hash keeps names apart."""
    safe = "_".join(re.sub(r"[^A-Za-z0-9.-]+", "-", word) for word in words)[:120].lstrip(".")
    if safe == "_".join(words) and safe.count("_") == len(words) - 1:
        return safe
    return f"{safe}-{hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:6]}"
