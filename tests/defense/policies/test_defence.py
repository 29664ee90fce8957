"""What stands before the answers, by name."""

from __future__ import annotations

import pytest
import torch

from defense.policies.defence import Defence
from defense.policies.mad import MadOracle
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import UsageError


class Silent:
    """An oracle that nobody asks."""

    policy = AnswerPolicy("scores")
    identity, classes, image_shape = "ab" * 32, 3, (8, 8, 1)

    def query(self, _: object) -> Answers:
        raise AssertionError("nobody asked")


@pytest.mark.parametrize(
    ("text", "name", "applied", "keeps"),
    [
        ("label", "label", "device", True),
        ("noise:0.10", "noise:0.1", "device", False),
        ("reverse_sigmoid:1,0.2", "reverse_sigmoid:1,0.2", "device", False),
        ("confident:0.5", "confident:0.5", "device", True),
        ("mad:0.50", "mad:0.5", "host", False),
        ("mad_argmax:2", "mad_argmax:2", "host", True),
    ],
)
def test_a_defence_says_where_it_is_applied_and_what_it_keeps(text: str, name: str, applied: str, keeps: bool) -> None:
    defence = Defence.parse(text)
    assert (defence.name, defence.applied, defence.keeps_top1) == (name, applied, keeps)
    assert Defence.parse(defence.name) == defence


@pytest.mark.parametrize(
    "text", ["mad", "mad:", "mad:0", "mad:2.1", "mad:nan", "mad:1e-2", "mad:0.5,1", "madness:1", ""]
)
def test_other_words_are_no_defence(text: str) -> None:
    with pytest.raises(UsageError, match="unknown") as caught:
        Defence.parse(text)
    assert caught.value.hint is not None


def test_the_device_s_policies_leave_the_oracle_as_it_is() -> None:
    oracle = Silent()
    assert Defence.parse("noise:0.1").before(oracle, torch.nn.Identity()) is oracle


def test_mad_asks_the_device_for_scores_and_poisons_them() -> None:
    defence = Defence.parse("mad_argmax:0.5")
    assert defence.policy == AnswerPolicy("scores")
    guarded = defence.before(Silent(), torch.nn.Linear(1, 3))
    assert isinstance(guarded, MadOracle)
    assert (guarded.budget, guarded.keep_top1) == (0.5, True)
