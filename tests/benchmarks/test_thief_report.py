"""What the report tells of thieves: in words, in curves, by class, what they asked and what they gain."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from fabricated_records import RecordMaker, long_campaign
from PIL import Image

from benchmarks.records import Record
from benchmarks.report import QueriedImages, write_report
from benchmarks.report.verdict import against_random, best_by_pool, first_passing, images_of, verdict
from benchmarks.report.words import cautions, short_count
from benchmarks.summary import summarise


def words_of(page: Path) -> str:
    return (page.parent / "report.md").read_text(encoding="utf-8")


def curve(maker: RecordMaker, *disagreements: float, **changes: object) -> list[Record]:
    """One thief at 500, 1,000, 2,000 … queries."""
    return [
        maker.attack("a", seed, disagreement=left, budget=500 << step, queries=500 << step, **changes)
        for step, left in enumerate(disagreements)
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a campaign of many strategies."""
    return write_report(long_campaign(RecordMaker(), (250, 1_000_000)), tmp_path_factory.mktemp("campaign"))


def test_a_verdict_says_where_much_and_nearly_all_of_the_accuracy_is_first_passed(maker: RecordMaker) -> None:
    records = [maker.victim(), maker.accuracy_on_device("a"), *curve(maker, 0.4, 0.07, 0.005, pool="pd:100")]
    told = " ".join(verdict(summarise(records)))
    assert "With 100 images of the problem domain and 2,000 answers a thief" in told
    assert "first passes 90\u00a0% at 1,000 queries and 97\u00a0% at 2,000 queries" in told
    assert "most frequent answer" in told
    records = [maker.victim(), maker.accuracy_on_device("a"), *curve(maker, 0.4, 0.07)]
    assert "97\u00a0% at none of its budgets" in " ".join(verdict(summarise(records)))


def test_a_milestone_is_of_the_same_thief(maker: RecordMaker) -> None:
    records = [maker.accuracy_on_device("a"), *curve(maker, 0.5, 0.02), *curve(maker, 0.01, 0.2, strategy="kcenter")]
    attacks = summarise(records).attacks
    (random,) = (a for a in attacks if a.strategy == "random" and a.budget == 1000)
    passed = first_passing(attacks, random, 0.9)
    assert passed is not None
    assert (passed.strategy, passed.budget) == ("random", 1000)


def test_the_best_thief_of_a_pool_is_sought_among_largest_budgets(maker: RecordMaker) -> None:
    records = [maker.accuracy_on_device("a"), *curve(maker, 0.05, 0.3), *curve(maker, 0.4, 0.2, strategy="kcenter")]
    records += curve(maker, 0.1, pool="proxy")
    tops = best_by_pool(summarise(records).attacks)
    assert [(top.pool, top.strategy, top.budget) for top in tops] == [
        ("proxy", "random", 500),
        ("npd", "kcenter", 1000),
    ]


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        ("pd:1", "1 image of the problem domain"),
        ("npd+pd:1200", "procedural images that are not of the problem domain and 1,200 images of the problem domain"),
        ("proxy", "images of another hospital"),
        ("scans/mine+yours", "images of scans/mine+yours"),
    ],
)
def test_pools_are_told_in_words(pool: str, said: str) -> None:
    assert images_of(pool) == said


def test_who_does_not_beat_random_is_named_pool_by_pool(maker: RecordMaker) -> None:
    records = [maker.accuracy_on_device("a"), *curve(maker, 0.5, 0.4)]
    records += curve(maker, 0.5, 0.4, strategy="entropy") + curve(maker, 0.6, 0.6, strategy="jbda")
    records += curve(maker, 0.5, 0.1, strategy="kcenter") + curve(maker, 0.2, 0.1, strategy="balanced")
    records += curve(maker, 0.2, strategy="amplify", pool="pd:100")
    told = against_random(summarise(records).attacks)
    assert told[1] == (
        "On npd: entropy and jbda do not beat random at any budget; balanced beats random at every budget; "
        "kcenter beats random at 1,000 only."
    )
    assert "amplify on pd:100" in told[-1]


def test_nothing_is_said_of_random_alone(maker: RecordMaker) -> None:
    assert against_random(summarise([maker.accuracy_on_device("a"), *curve(maker, 0.5, 0.4)]).attacks) == []


def test_a_thief_no_better_than_random_is_called_so_in_the_verdict(maker: RecordMaker) -> None:
    records = [maker.accuracy_on_device("a"), *curve(maker, 0.3), *curve(maker, 0.29, strategy="kcenter")]
    told = " ".join(verdict(summarise(records)))
    assert "It is not better than random at the same budget" in told


def test_a_victim_that_answers_one_class_only_is_called_out(tmp_path: Path, maker: RecordMaker) -> None:
    maker.predictions = np.zeros_like(maker.predictions)
    maker.on_device["embedded", "a"] = maker.predictions
    records: list[Record] = [maker.victim()]
    records += [
        maker.attack("a", s, disagreement=0.0, reference="victim", answer_histogram=[4000, 0, 0, 0]) for s in (0, 1)
    ]
    told = " ".join(cautions(summarise(records), None))
    assert "named one class only" in told
    assert "answered one class only to all queries of random on npd (4,000 queries)" in told
    assert "named one class only" in words_of(write_report(records, tmp_path))


def test_a_thief_that_was_told_nothing_at_all_makes_a_report(tmp_path: Path, maker: RecordMaker) -> None:
    records = [maker.accuracy_on_device("a"), maker.attack("a", queries=0, budget=0, answer_histogram=[])]
    assert "one class only" not in words_of(write_report(records, tmp_path))


def test_a_theft_of_somebody_s_file_has_classes_and_confusion_without_a_victim_on_record(
    tmp_path: Path, maker: RecordMaker
) -> None:
    told = words_of(write_report([maker.device(), maker.accuracy_on_device("a"), *curve(maker, 0.4, 0.2)], tmp_path))
    assert "class 3" in told
    assert (tmp_path / "plots" / "confusion_thief_1.png").is_file()


def test_a_long_campaign_has_a_figure_for_each_pool_with_random_as_its_baseline(campaign: Path) -> None:
    plots = campaign.parent / "plots"
    drawn = {k: (plots / f"theft_1_{k}.svg").read_text() for k in (1, 2, 3)}
    assert not (plots / "theft_1_4.svg").exists()
    assert [("(baseline)" in svg) for svg in drawn.values()] == [True, False, True]
    assert "1\u00a0M" in drawn[1]
    assert "random (semi) (baseline)" in drawn[3]


def test_costs_name_what_the_device_told(campaign: Path) -> None:
    told = words_of(campaign)
    costs = told[told.index("*What it cost") :].split("\n\n")[1].splitlines()
    head = [cell.strip() for cell in costs[0].split("|")]
    energy = head.index("energy of the device, J")
    by_pool = {row.split("|")[2].strip(): row.split("|")[energy].strip() for row in costs[2:]}
    assert by_pool["npd"] not in ("", "–")
    assert by_pool["proxy"] == "–"


def test_gains_have_a_table_a_figure_and_the_control(tmp_path: Path, maker: RecordMaker) -> None:
    told = words_of(write_report([maker.gain("a", seed) for seed in range(3)], tmp_path))
    assert (tmp_path / "plots" / "transfer.svg").is_file()
    assert "4/255" in told
    assert "control" in (tmp_path / "plots" / "transfer.svg").read_text()
    told = words_of(write_report([maker.gain("a", transfer=[], saliency=None)], tmp_path / "calibration_only"))
    assert "Brier" in told
    assert "4/255" not in told


def test_queried_images_are_shown_by_answer(tmp_path: Path, maker: RecordMaker) -> None:
    asked = [
        QueriedImages("npd", "random", seed, np.full((4, 8, 8, 1), 10 * seed + 50, np.uint8), np.array([0, 0, 2, 2]))
        for seed in (1, 0)
    ]
    asked.append(QueriedImages("proxy", "random", 0, np.zeros((3, 8, 8, 1), np.uint8), np.array([1, 1, 1])))
    told = words_of(write_report([maker.victim()], tmp_path, queried=asked))
    assert "Pool npd, strategy random, seed 0." in told
    assert "seed 1." not in told
    assert "The victim answered lung cancer to all that were kept." in told
    sheet = np.asarray(Image.open(BytesIO((tmp_path / "plots" / "queried_1.png").read_bytes())).convert("L"))
    assert (sheet[30 : 30 + 64, 4 : 4 + 64] == 50).all()


def test_no_queried_images_make_no_section(tmp_path: Path, maker: RecordMaker) -> None:
    empty = QueriedImages("npd", "random", 0, np.zeros((0, 8, 8, 1), np.uint8), np.zeros(0, np.int64))
    assert "What thieves asked" not in words_of(write_report([maker.victim()], tmp_path, queried=[empty]))


def test_queried_images_of_a_report_without_a_victim_and_with_many_classes(tmp_path: Path, maker: RecordMaker) -> None:
    many = QueriedImages("npd", "random", 0, np.zeros((2, 8, 8, 3), np.uint8), np.array([3, 170]))
    told = words_of(write_report([maker.device()], tmp_path, queried=[many]))
    assert re.search(r"by answer: class 3, class 170", told)


@pytest.mark.parametrize(
    ("count", "said"),
    [(250, "250"), (1000, "1\u00a0k"), (1500, "1.5\u00a0k"), (16_000, "16\u00a0k"), (1e6, "1\u00a0M")],
)
def test_counts_are_short_on_axes(count: float, said: str) -> None:
    assert short_count(count) == said
