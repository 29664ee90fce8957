"""The report: whole for every set of records, true to them, and safe with users' words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from fabricated_records import CLASSES, RecordMaker, whole_run

from benchmarks.records import Record
from benchmarks.report import write_report
from benchmarks.summary import summarise
from foundation.errors import DataError

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that elements nest, and collects what tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of that name."""
        return [attrs for name, attrs in self.seen if name == tag]


def sheet() -> dict[str, np.ndarray]:
    return {name: np.full((3, 8, 8, 1), 40 * k, np.uint8) for k, name in enumerate(CLASSES)}


def page_of(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a whole run."""
    return write_report(whole_run(RecordMaker()), tmp_path_factory.mktemp("whole"), sheet())


def test_a_report_is_a_page_markdown_and_plots(whole: Path) -> None:
    plots = whole.parent / "plots"
    assert whole.name == "report.html"
    names = {path.stem for path in plots.iterdir()}
    assert names == {
        "confusion_victim", "confusion_thief_1", "confusion_thief_2", "class_fidelity", "contact_sheet", "latency_1",
        "theft_1_1",
    }  # fmt: skip
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots.glob("*.png"))
    assert len(list(plots.glob("*.svg"))) == 6
    for linked in re.findall(r"\]\((plots/[^)]+)\)", (whole.parent / "report.md").read_text()):
        assert (whole.parent / linked).is_file()


def test_the_page_needs_nothing_but_itself(whole: Path) -> None:
    text = whole.read_text()
    assert not re.search(r"https?:|//[a-z]", re.sub(r'xmlns(:\w+)?="[^"]*"|data:image/png;base64,[\w+/=\s]+', "", text))
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in page.all("img"))
    assert not re.search(r"url\((?!#)", text)


def test_the_page_can_be_used_without_eyes_mouse_or_light(whole: Path) -> None:
    page = page_of(whole)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all(image.get("alt") for image in page.all("img"))
    assert all(attrs.get("aria-label") for _, attrs in page.seen if attrs.get("role") in ("img", "region"))
    assert len(page.all("caption")) == len(page.all("table")) > 4
    assert all(cell.get("scope") for cell in page.all("th"))
    identifiers = [attrs["id"] for _, attrs in page.seen if "id" in attrs]
    assert len(identifiers) == len(set(identifiers))
    assert {str(link["href"])[1:] for link in page.all("a")} <= set(identifiers)
    assert "prefers-color-scheme: dark" in whole.read_text()
    assert "@media print" in whole.read_text()


def test_inline_figures_take_the_pages_colours_and_files_stand_on_white(whole: Path) -> None:
    text = whole.read_text()
    assert "currentColor" in text
    assert "#1c2127" not in "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "#1c2127" in (whole.parent / "plots" / "theft_1_1.svg").read_text()


def test_the_verdict_names_reach_chance_pool_answers_budget_and_device(whole: Path, run_records: list[Record]) -> None:
    best = max(summarise(run_records).attacks, key=lambda attack: attack.fidelity)
    for text in (whole.read_text(), (whole.parent / "report.md").read_text()):
        verdict = text[text.index("With images of another hospital") :]
        for words in (f"{100 * best.fidelity:.1f}\u00a0%", "pool proxy", "4,000 answers", "“label”", "25.0\u00a0%"):
            assert words in verdict[:1200]
        assert "say nothing about a phone" in text


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_report(whole_run(RecordMaker()), tmp_path / "a", sheet())
    second = write_report(whole_run(RecordMaker()), tmp_path / "b", sheet())
    assert first.read_bytes() == second.read_bytes()


def test_users_words_stay_words(tmp_path: Path) -> None:
    names = ["<script>alert(1)</script>", "a|b`c`", "$x^2$ & \"q\" 'r'", "_hidden", "肺癌 </svg>"]
    maker = RecordMaker(names, images=60)
    records = whole_run(maker)
    page = write_report(records, tmp_path, {name: np.zeros((1, 9, 9, 3), np.uint8) for name in names})
    text = page.read_text(encoding="utf-8")
    assert not Page(text).all("script")
    assert "<script" not in text
    # Six figures and nothing that a name closed early.
    assert text.count("</svg>") == text.count("<svg ") == 6
    assert "$x^2$" in "".join(Page(text).words)
    rows = [line for line in (tmp_path / "report.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert any(r"a\|b\`c\`" in row for row in rows)
    assert "<script" not in (tmp_path / "report.md").read_text(encoding="utf-8").replace(r"\<script", "")


def test_one_seed_one_artefact_and_one_pool_make_a_report_that_says_so(tmp_path: Path, maker: RecordMaker) -> None:
    records: list[Record] = [maker.context(quick=True), maker.victim(), maker.device(), maker.artifact()]
    records += [maker.accuracy_on_device("tflite_int8"), maker.latency("tflite_int8")]
    records.append(maker.attack("tflite_int8", strategy="amplify"))
    words = " ".join(page_of(write_report(records, tmp_path)).words)
    assert "only one seed" in words
    assert "This was a quick run" in words
    assert "no baseline" in words
    assert "Best fidelity by pool" not in words


def test_without_an_attack_the_report_says_that_nothing_is_known(tmp_path: Path, maker: RecordMaker) -> None:
    records = [maker.context(), maker.victim(), maker.device(), maker.artifact(), maker.latency("tflite_int8")]
    words = " ".join(page_of(write_report(records, tmp_path)).words)
    assert "No theft was tried" in words
    assert "What thieves reached" not in words


@pytest.mark.parametrize("kind", ["context", "victim", "artifact", "device"])
def test_a_single_record_makes_a_report(tmp_path: Path, run_records: list[Record], kind: str) -> None:
    page_of(write_report([next(r for r in run_records if r.kind == kind)], tmp_path))


def test_no_records_make_no_report(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records"):
        write_report([], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_kinds_of_devices_never_share_a_table(tmp_path: Path, maker: RecordMaker) -> None:
    records = whole_run(maker)
    maker.base["run_id"] = "run-2"
    records.append(maker.device("physical"))
    records += [maker.accuracy_on_device("tflite_int8", "physical"), maker.latency("tflite_int8", "physical", 2400)]
    records += [maker.attack("tflite_int8", seed, kind="physical") for seed in range(3)]
    text = write_report(records, tmp_path).read_text()
    captions = re.findall(r"<caption>(.*?)</caption>", text)
    assert len([c for c in captions if c.startswith("On the embedded device")]) == 1
    assert len([c for c in captions if c.startswith("On the physical device Pixel 8")]) == 1
    physical = text[text.index("<caption>On the physical device") :]
    assert physical[: physical.index("</table>")].count('<th scope="row">') == 1
    assert (tmp_path / "plots" / "latency_2.svg").is_file()


def test_a_physical_devices_spec_with_its_serial_number_is_not_told(tmp_path: Path, maker: RecordMaker) -> None:
    records = [
        maker.artifact(),
        maker.device("physical", spec="serial:R58SECRET"),
        maker.latency("tflite_int8", "physical"),
    ]
    assert "R58SECRET" not in write_report(records, tmp_path).read_text()


def test_labels_that_differ_from_the_runtime_in_process_are_called_out(tmp_path: Path, maker: RecordMaker) -> None:
    told = maker.accuracy_on_device("tflite_int8")
    told = type(told).model_validate(told.model_dump() | {"labels_equal": 399})
    words = " ".join(page_of(write_report([maker.device(), maker.artifact(), told], tmp_path)).words)
    assert "399 of 400" in words
    assert "should all be equal" in words


def test_another_runtime_than_the_host_s_is_named_and_may_answer_otherwise(tmp_path: Path, maker: RecordMaker) -> None:
    told = maker.accuracy_on_device("tflite_int8")
    told = type(told).model_validate(told.model_dump() | {"labels_equal": 399, "engine": "tflite-runtime 2.14.0"})
    words = " ".join(page_of(write_report([maker.device(), maker.artifact(), told], tmp_path)).words)
    assert "399 of 400" in words
    assert "tflite-runtime 2.14.0 computes otherwise" in words
    assert "should all be equal" not in words
    assert "| tflite-runtime 2.14.0 |" in (tmp_path / "report.md").read_text()


def test_many_classes_and_many_thieves_still_fit(tmp_path: Path) -> None:
    maker = RecordMaker([f"class {k}" for k in range(40)], images=200)
    records: list[Record] = [maker.victim(), maker.device(), maker.artifact(), maker.accuracy_on_device("tflite_int8")]
    for pool in range(14):
        for budget in (10, 100):
            records.append(maker.attack("tflite_int8", pool=f"_pool {pool}", budget=budget, queries=budget))
    page_of(write_report(records, tmp_path))
    assert "_pool 13" in (tmp_path / "plots" / "theft_1_1.svg").read_text()
