"""What tells this computer from others without naming it."""

from __future__ import annotations

import hashlib
import secrets

from foundation.errors import UsageError


def salted_hash(text: str) -> str:
    """12 hexadecimal digits that stand for `text` on this computer, for this user; the salt never leaves it.

    Raises:
        UsageError: the salt cannot be read or kept.
    """
    return hashlib.sha256(_salt() + text.encode()).hexdigest()[:12]


def _salt() -> bytes:
    from platformdirs import user_data_path

    place = user_data_path("edgecat") / "serial-salt"
    try:
        return place.read_bytes()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"cannot read {place}: {error.strerror}") from error
    from foundation.files import write_bytes

    salt = secrets.token_bytes(16)
    write_bytes(place, salt, mode=0o600)
    return salt
