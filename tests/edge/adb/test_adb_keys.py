"""Keys in adb's format."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from adb_shell.auth.keygen import encode_pubkey
from adb_shell.auth.sign_cryptography import CryptographySigner

from edge.adb.keys import HostKey, decode_public_key, default_key, encode_public_key, make_key, verify
from foundation.errors import UsageError


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> HostKey:
    return make_key(tmp_path_factory.mktemp("keys") / "adbkey")


def test_a_private_key_is_readable_by_its_owner_only(key: HostKey) -> None:
    assert stat.S_IMODE(key.path.stat().st_mode) == 0o600
    assert key.path.read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_a_private_key_is_never_open_to_others_not_even_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    fsync = os.fsync

    def look(descriptor: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", look)
    previous = os.umask(0)
    try:
        make_key(tmp_path / "adbkey")
    finally:
        os.umask(previous)
    assert seen[0] == 0o600


def test_the_public_key_is_the_one_that_adb_shell_works_out(key: HostKey) -> None:
    numbers = key.private.public_key().public_numbers()
    assert encode_public_key(numbers.n, numbers.e) == encode_pubkey(str(key.path))


def test_the_public_key_file_names_user_and_host(key: HostKey) -> None:
    encoded, owner = key.path.with_name("adbkey.pub").read_text().split()
    assert len(encoded) == 700
    assert "@" in owner


def test_a_signature_is_the_one_that_adb_shell_makes_and_verifies(key: HostKey) -> None:
    token = bytes(range(20))
    signature = key.sign(token)
    assert signature == CryptographySigner(str(key.path)).Sign(token)
    public = decode_public_key(key.public_text())
    assert verify(public, token, signature)
    assert not verify(public, token[::-1], signature)
    assert not verify(public, token, signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not verify(public, token, b"")


@pytest.mark.parametrize("text", [b"", b"QUJD who@where", b"not base64!", b"A" * 700])
def test_what_is_no_public_key_is_said_to_be_none(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_public_key(text)


def test_a_file_without_a_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "adbkey").write_text("nothing")
    with pytest.raises(UsageError, match="adbkey"):
        HostKey(tmp_path / "adbkey").sign(bytes(20))
    with pytest.raises(UsageError, match="No such file"):
        HostKey(tmp_path / "absent").sign(bytes(20))


def test_the_key_that_adb_made_is_taken_before_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    own = default_key()
    assert own.path.name == "adbkey"
    assert ".android" not in own.path.parts
    assert default_key().path.read_bytes() == own.path.read_bytes()
    adbs = make_key(tmp_path / ".android" / "adbkey")
    assert default_key().path == adbs.path
