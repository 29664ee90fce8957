"""`edgecat defend policies` as a user meets it; what it measures is tested in `test_policies_stage.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.errors import ExitCode

from .command_line import Ended
from .conftest import Walked

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]

QUICK = ("--budget", "60", "--pool", "pd:50", "--seeds", "1", "--thief", "plain", "--effort", "0.02")


@pytest.fixture
def defend(edgecat_here: Callable[..., Ended], walked: Walked, data: Path) -> Callable[..., Ended]:
    def call(*words: object) -> Ended:
        return edgecat_here("defend", "policies", walked.artifact.path, "--data", data, *QUICK, *words)

    return call


def test_the_table_has_a_line_for_each_policy(defend: Callable[..., Ended]) -> None:
    ended = defend("--policy", "confident:1")
    assert ended.code == ExitCode.DONE, ended.stderr
    heads, line, _, told = ended.stdout.splitlines()
    assert heads.split()[:4] == ["policy", "where", "accuracy", "refused"]
    assert line.startswith("confident:1  device")
    assert "60 queries (pd:50, amplify)" in told


def test_json_is_the_whole_report(defend: Callable[..., Ended]) -> None:
    document = defend("--policy", "label", "--json").document()
    assert (document["budget"], document["pool"], document["device_kind"]) == (60, "pd:50", "embedded")
    assert [result["policy"] for result in document["results"]] == ["label"]
    assert len(document["results"][0]["utility"]["predictions"]) == len(document["truth"])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--policy", "noise:7"), ExitCode.USAGE, "unknown answer policy 'noise:7'"),
        (("--policy", "mad:3"), ExitCode.USAGE, "unknown defence 'mad:3'"),
        (("--policy", "topk:9"), ExitCode.USAGE, "more than the 3 classes"),
        (("--budget", "10,20"), ExitCode.USAGE, "one budget"),
        (("--strategy", "datafree", "--pool", "none"), ExitCode.USAGE, "datafree"),
        (("--pool", "proxy"), ExitCode.USAGE, "proxy"),
        (("--learner", "by-heart"), ExitCode.USAGE, "learner"),
        (("--data", "phantom"), ExitCode.DATA, "classes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_settings_that_cannot_work_are_one_line(
    defend: Callable[..., Ended], words: tuple[str, ...], code: ExitCode, told: str
) -> None:
    assert told in defend(*words).refusal(code)
