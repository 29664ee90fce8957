"""The million's figures: counted where they arise, every image asked once, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.theft import million
from foundation.answers import AnswerPolicy, Answers

pytestmark = pytest.mark.timeout(60)


class Counting:
    """A victim that answers at once, and counts its images and the different ones among them."""

    identity, policy, classes, image_shape = "ab" * 32, AnswerPolicy("label"), 3, (4, 4, 1)

    def __init__(self) -> None:
        self.count, self.different = 0, set[bytes]()

    def query(self, images: NDArray[np.uint8]) -> Answers:
        self.count += len(images)
        self.different.update(image.tobytes() for image in images)
        return Answers(self.policy, 3, np.zeros((len(images), 1), np.uint16), None, np.ones(len(images), np.uint32))


def test_a_quick_run_asks_every_image_once_and_counts_what_lands_on_disk(tmp_path: Path) -> None:
    victim = Counting()
    raw = million.measure(victim, tmp_path, quick=True)
    assert raw["queries"] == 100_000
    assert victim.count == len(victim.different) == 100_000 + 12 * 2_000
    assert isinstance(raw["file_bytes"], int)
    assert 16 < raw["file_bytes"] / 100_000 < 60
    assert list(tmp_path.iterdir()) == []
    passed = {check.name: check.ok for check in million.checks(raw, quick=True)}
    assert passed["ledger beyond the images' hashes"] is True
    # An answer that takes no time leaves no time to hide the ledger in; a quick run is not the million.
    assert passed["rate with the ledger, share of the channel's"] is False
    assert passed["queries through one ledger"] is passed["host memory grown meanwhile"] is None
