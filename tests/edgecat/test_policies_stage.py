"""Policies deployed in turn on the embedded device: what they cost, and two thieves of the same paid answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from defense.policies.defence import Defence
from defense.policies.records import PolicyReport
from edgecat.settings import RunSettings, make_settings
from edgecat.stages.policies import measure_policies
from foundation.errors import DataError, UsageError
from foundation.manifest import Artifact
from victim.dataset import Dataset, Split

if TYPE_CHECKING:
    from export.exporting import Exported, Source

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]

POLICIES = ("label", "scores", "confident:0.9", "noise:0.3", "mad_argmax:0.5")
SETTINGS: dict[str, object] = {
    "data": "corners",
    "pools": ("pd:40",),
    "budgets": (60,),
    "seeds": 1,
    "thief": "plain",
    "effort": 0.02,
}


@pytest.fixture(scope="module")
def artifact(exported: Callable[[str, int], Exported]) -> Artifact:
    return exported("tflite_int8", 1).artifact


@pytest.fixture(scope="module")
def dataset(source_of: Callable[[int], Source], artifact: Artifact) -> Dataset:
    """The images that the victim learnt, by their brightest corner."""
    images = source_of(1).calibration
    corners = images.reshape(len(images), 2, 8, 2, 8).mean(axis=(2, 4)).reshape(len(images), 4)
    whole = Split(images, corners.argmax(axis=1), np.arange(len(images)))
    parts = [whole.take(rows) for rows in np.split(np.arange(400), 4)]
    return Dataset("corners", artifact.manifest.class_names, *parts)


def settings(**changes: object) -> RunSettings:
    return make_settings(**(SETTINGS | changes))


def measure(artifact: Artifact, dataset: Dataset, *policies: str, out: Path | None = None) -> PolicyReport:
    return measure_policies(artifact, dataset, list(map(Defence.parse, policies)), settings(), out=out)


@pytest.fixture(scope="module")
def report(artifact: Artifact, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> PolicyReport:
    return measure(artifact, dataset, *POLICIES, out=tmp_path_factory.mktemp("kept"))


def queries(folder: Path) -> list[int]:
    """How many queries each ledger holds."""
    found = []
    for place in sorted(folder.glob("*.sqlite")):
        with closing(sqlite3.connect(place)) as database:
            found.append(int(database.execute("SELECT count(*) FROM queries").fetchone()[0]))
    return found


def test_a_report_says_what_was_measured(report: PolicyReport, artifact: Artifact) -> None:
    assert (report.model, report.device_kind, report.data) == (artifact.manifest.sha256, "embedded", "corners")
    assert (report.pool, report.strategy, report.budget) == ("pd:40", "amplify", 60)
    assert [result.policy for result in report.results] == list(POLICIES)
    assert [result.applied for result in report.results] == [*["device"] * 4, "host"]
    assert report.victim_accuracy > 0.7
    assert report.document()["results"][0]["thieves"][0]["learns"] == "labels"


def test_shares_are_those_of_the_raw_samples(report: PolicyReport) -> None:
    truth = np.array(report.truth)
    for result in report.results:
        utility, named = result.utility, np.array(result.utility.predictions)
        assert utility.accuracy == pytest.approx((named == truth).mean())
        assert utility.refused == pytest.approx((named == -1).mean())
        told = named >= 0
        assert utility.top1_changed == pytest.approx((named != report.victim_predictions)[told].mean())
        assert not (result.keeps_top1 and utility.top1_changed)
        for thief in result.thieves:
            assert thief.fidelity == pytest.approx(np.mean(np.equal(thief.predictions, report.victim_predictions)))


def test_each_policy_costs_what_it_does(report: PolicyReport) -> None:
    utilities = {result.policy: result.utility for result in report.results}
    assert utilities["scores"].accuracy == utilities["label"].accuracy == report.victim_accuracy
    assert utilities["scores"].probability_change == 0
    assert utilities["label"].ece is None
    assert 0 < utilities["confident:0.9"].refused < 1
    assert (utilities["noise:0.3"].probability_change or 0) > 0.05
    assert (utilities["mad_argmax:0.5"].probability_change or 0) == pytest.approx(0.5 / 4, rel=0.2)


def test_both_thieves_of_a_seed_learn_from_the_same_paid_answers(report: PolicyReport) -> None:
    thieves = {result.policy: {thief.learns: thief for thief in result.thieves} for result in report.results}
    assert set(thieves["label"]) == {"labels"}
    for policy in POLICIES[1:]:
        assert set(thieves[policy]) == {"labels", "scores"}
        assert thieves[policy]["labels"].refused == thieves[policy]["scores"].refused
    assert all(thief.queries == 60 for both in thieves.values() for thief in both.values())
    assert 0 < thieves["confident:0.9"]["labels"].refused < 60
    # A thief of labels does not care for scores, wherever the best class is left alone.
    for policy in ("scores", "mad_argmax:0.5"):
        assert thieves[policy]["labels"].predictions == thieves["label"]["labels"].predictions


def test_started_again_no_query_is_asked_and_no_thief_trained_twice(
    artifact: Artifact, dataset: Dataset, tmp_path: Path
) -> None:
    first, second = (measure(artifact, dataset, "noise:0.3", out=tmp_path) for _ in range(2))
    assert queries(tmp_path) == [60]
    # The seconds of the training too: there was no second one.
    assert first.results[0].thieves == second.results[0].thieves
    assert first.results[0].utility == second.results[0].utility


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budgets": (10, 20)}, "one budget"),
        ({"pools": ("pd:10", "npd")}, "one pool"),
        ({"strategies": ("datafree",), "pools": ("none",)}, "datafree"),
        ({"learner": "by-heart"}, "learner"),
        ({"pools": ("proxy",)}, "proxy"),
    ],
)
def test_settings_that_cannot_be_compared_are_usage_errors(
    artifact: Artifact, dataset: Dataset, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        measure_policies(artifact, dataset, [Defence.parse("label")], settings(**changes))


def test_other_data_than_the_model_s_are_refused(artifact: Artifact, dataset: Dataset) -> None:
    with pytest.raises(DataError, match="other 4"):
        measure(artifact, replace(dataset, class_names=("a", "b", "c", "d")), "label")
    with pytest.raises(UsageError, match="more than the 4"):
        measure(artifact, dataset, "topk:5")
    with pytest.raises(UsageError, match="compared"):
        measure(artifact, dataset)
