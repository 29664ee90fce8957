"""RSA keys in adb's format: how a host proves to a device who it is, and how a device checks it."""

from __future__ import annotations

import base64
import getpass
import socket
import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

MODULUS_BYTES = 256
_WORDS = MODULUS_BYTES // 4
_PUBLIC_KEY = struct.Struct(f"<II{MODULUS_BYTES}s{MODULUS_BYTES}sI")


@dataclass(frozen=True)
class HostKey:
    """An RSA-2048 key pair of adb: `path` (PKCS #8, PEM) and, beside it, `path.pub`.

    The public half is worked out of the private one, as adb itself does; `path.pub` need not exist.
    """

    path: Path

    @cached_property
    def private(self) -> RSAPrivateKey:
        """The private key.

        Raises:
            UsageError: no such file, or no RSA-2048 key in it.
        """
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(self.path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no private key without a password in it"
            raise UsageError(f"cannot read adb key {self.path}: {reason}") from error
        if not isinstance(key, RSAPrivateKey) or key.key_size != MODULUS_BYTES * 8:
            raise UsageError(f"{self.path} is no RSA-2048 key, and adb knows no other")
        return key

    def sign(self, token: bytes) -> bytes:
        """Sign a device's 20-byte token: 256 bytes (PKCS #1 v1.5, the token stands for a SHA-1 digest)."""
        from cryptography.hazmat.primitives.asymmetric import padding

        return self.private.sign(token, padding.PKCS1v15(), _prehashed())

    def public_text(self) -> bytes:
        """The public key as adb sends and stores it: base64, a space, who and where."""
        numbers = self.private.public_key().public_numbers()
        owner = f"{_user()}@{socket.gethostname() or 'unknown'}"
        return base64.b64encode(encode_public_key(numbers.n, numbers.e)) + f" {owner}".encode()


def encode_public_key(modulus: int, exponent: int) -> bytes:
    """Android's binary form of an RSA-2048 public key, with the Montgomery parameters it carries: 524 bytes."""
    size = 8 * MODULUS_BYTES
    inverse = (1 << 32) - pow(modulus, -1, 1 << 32)
    square = pow(1 << size, 2, modulus)
    return _PUBLIC_KEY.pack(
        _WORDS, inverse, modulus.to_bytes(MODULUS_BYTES, "little"), square.to_bytes(MODULUS_BYTES, "little"), exponent
    )


def decode_public_key(text: bytes) -> RSAPublicKey:
    """Read a public key as `HostKey.public_text` writes it.

    Raises:
        ValueError: it is none.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    encoded = text.rstrip(b"\0").split(maxsplit=1)
    raw = base64.b64decode(encoded[0] if encoded else b"", validate=True)
    if len(raw) != _PUBLIC_KEY.size:
        raise ValueError(f"an Android public key has {_PUBLIC_KEY.size} bytes, not {len(raw)}")
    words, _, modulus, _, exponent = _PUBLIC_KEY.unpack(raw)
    if words != _WORDS:
        raise ValueError(f"a modulus of {words} words where adb has {_WORDS}")
    return RSAPublicNumbers(exponent, int.from_bytes(modulus, "little")).public_key()


def verify(key: RSAPublicKey, token: bytes, signature: bytes) -> bool:
    """Whether `signature` over the 20-byte `token` was made with `key`'s private half."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding

    try:
        key.verify(signature, token, padding.PKCS1v15(), _prehashed())
    except InvalidSignature:
        return False
    return True


def make_key(path: Path) -> HostKey:
    """Make a new key pair at `path` (mode 0600 from its first byte) and `path.pub`.

    Raises:
        UsageError: the place cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    from foundation.files import write_bytes

    private = rsa.generate_private_key(public_exponent=65537, key_size=8 * MODULUS_BYTES)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_bytes(path, pem, mode=0o600)
    key = HostKey(path)
    write_bytes(path.with_name(path.name + ".pub"), key.public_text() + b"\n")
    return key


def default_key() -> HostKey:
    """The host's key: `~/.android/adbkey` where adb has made one, else edgecat's own (made when first asked for)."""
    from platformdirs import user_data_path

    known = Path.home() / ".android" / "adbkey"
    own = user_data_path("edgecat") / "adbkey"
    if known.is_file():
        return HostKey(known)
    return HostKey(own) if own.is_file() else make_key(own)


def _prehashed() -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

    # adb's protocol fixes SHA-1; the token is random, so nothing rests on SHA-1's resistance to collisions.
    return Prehashed(hashes.SHA1())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
