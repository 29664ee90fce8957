"""A live session: what the thief gets before and after the alarm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import KnownVictim, fixed_logits, numbered_images

from defense.detection.watched import PIECE, WatchedOracle
from foundation.errors import CheckFailed
from foundation.progress import Silent


@dataclass
class AlarmAt:
    """Raises its alarm at one query."""

    query: int
    seen: int = 0
    name: str = "clock"

    def observe(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> int | None:
        assert len(images) == len(labels)
        self.seen += len(images)
        return self.query if self.seen > self.query else None


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, message: str) -> None:
        self.lines.append(message)


def test_a_session_that_is_only_watched_goes_on_with_true_answers() -> None:
    victim, told = KnownVictim(fixed_logits(3), 3), Told()
    watched = WatchedOracle(victim, AlarmAt(30), blocks=False, progress=told)
    images = numbered_images(90)
    found = [watched.query(images[k : k + 20]).top1() for k in range(0, 90, 20)]
    assert np.concatenate(found).tolist() == victim.logits(images).argmax(1).tolist()
    assert watched.alarm == 30
    assert told.lines == ["detector clock raises an alarm at query 31"]
    assert (watched.identity, watched.policy, watched.classes) == (victim.identity, victim.policy, 3)


def test_an_alarm_ends_a_session_and_withholds_the_answers() -> None:
    victim = KnownVictim(fixed_logits(3), 3)
    watched = WatchedOracle(victim, AlarmAt(30), blocks=True)
    images = numbered_images(60)
    assert len(watched.query(images[:20])) == 20
    for part in (images[20:40], images[40:], images[:1]):
        with pytest.raises(CheckFailed, match="query 31") as caught:
            watched.query(part)
        assert caught.value.hint is not None
    # The device is not asked any more.
    assert victim.count == 40


def test_a_thief_who_asks_for_much_at_once_gets_no_further() -> None:
    victim = KnownVictim(fixed_logits(3), 3)
    watched = WatchedOracle(victim, AlarmAt(PIECE + 5), blocks=True)
    with pytest.raises(CheckFailed):
        watched.query(numbered_images(4 * PIECE))
    assert victim.count == 2 * PIECE
