"""The owner's secret: who has it can find the watermark, and leave it out."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from foundation.errors import UsageError
from foundation.files import sha256_bytes, write_bytes

KEY_BYTES = 32


def make_key(path: Path) -> bytes:
    """Draw a key and write it to a new file that only its owner can read, as 64 hexadecimal digits.

    Raises:
        UsageError: there is a file already (a lost key is a lost proof), or none can be written.
    """
    if path.exists():
        raise UsageError(f"{path} exists already", hint="a key that was used must not be lost: choose another name")
    key = secrets.token_bytes(KEY_BYTES)
    write_bytes(path, key.hex().encode() + b"\n", mode=0o600)
    return key


def read_key(path: Path) -> bytes:
    """Read a key that `make_key` wrote.

    Raises:
        UsageError: there is none, it is no key, or others can read it.
    """
    try:
        text, mode = path.read_text(), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read key {path}: {getattr(error, 'strerror', None) or 'not text'}",
            hint="make one with edgecat defend watermark make-key",
        ) from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"key {path} can be read by others", hint=f"chmod 600 {path}")
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise UsageError(f"{path} holds no key of {2 * KEY_BYTES} hexadecimal digits")
    return key


def fingerprint(key: bytes) -> str:
    """Tells keys apart and gives none away: 16 hexadecimal digits."""
    return sha256_bytes(b"edgecat watermark key\0" + key)[:16]
