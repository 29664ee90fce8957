"""FLEET.toml, and what is refused in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecat.fleets.fleet_file import read_fleet
from foundation.errors import DataError, UsageError


def test_paths_count_from_the_fleets_file(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('devices = ["serial:A", "tcp:10.0.0.7:5555"]\nmax_failures = 1\n[check]\nimages = "known.npz"\n')
    fleet = read_fleet(file)
    assert fleet.devices == ("serial:A", "tcp:10.0.0.7:5555")
    assert fleet.check.images == tmp_path / "known.npz"
    assert fleet.check.min_agreement == 1.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "devices"),
        ("devices = []", "devices"),
        ('devices = ["gadget"]', "gadget"),
        ('devices = ["serial:A", "serial:A"]', "twice"),
        ('devices = ["embedded"]', "gone after"),
        ('devices = ["serial:A"]\ncolour = 1', "colour"),
        ('devices = ["serial:A"]\nmax_failures = -1', "max_failures"),
        ('devices = ["serial:A"]\n[check]\nmin_agreement = 1.5', "min_agreement"),
        ("devices = [", "not TOML"),
    ],
)
def test_what_cannot_work_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "fleet.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_fleet(tmp_path / "fleet.toml")
    assert told in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.toml"):
        read_fleet(tmp_path / "gone.toml")
