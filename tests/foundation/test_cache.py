"""The cache directory: the user's own, or the one that the environment names."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundation.cache import cache_directory


def test_the_environment_moves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path))
    assert cache_directory() == tmp_path
    assert cache_directory("runners", "x86_64") == tmp_path / "runners" / "x86_64"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [None, ""])
def test_else_it_is_the_user_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("EDGECAT_CACHE_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("EDGECAT_CACHE_DIR", value)
    place = cache_directory("phantom")
    assert place.is_relative_to(tmp_path)
    assert place.parts[-2:] == ("edgecat", "phantom")
