"""`edgecat compare` as a user meets it: tables, files, exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .command_line import Ended

LATENCY = {
    "schema_version": 1, "created": "2025-03-01T12:00:00Z", "kind": "latency", "artifact": "tflite_int8",
    "device_kind": "embedded", "engine": "LiteRT 2.3.0", "load_ms": 4.5, "first_us": 900.0,
    "config": {"threads": 1, "warmup_runs": 20, "min_runs": 1, "min_seconds": 0, "max_seconds": 30},
    "memory": {"peak_rss_bytes": 1000, "method": "VmHWM"}, "artifact_bytes": 10,
    "validity": {"min_runs_met": True, "min_seconds_met": True},
}  # fmt: skip
DEVICE = {
    "schema_version": 1, "created": "2025-03-01T12:00:00Z", "kind": "device", "spec": "embedded",
    "device_kind": "embedded", "serial_hash": "a1b2c3d4e5f6", "model": None, "abi": None, "os_version": None,
}  # fmt: skip
THEIRS = "Inference timings in us: Init: 4521, First inference: 900, Warmup (avg): 500, Inference (avg): 550\n"

Edgecat = Callable[..., Ended]


def run(path: Path, microseconds: float, processes: int = 5, threads: int = 1) -> Path:
    """A run directory of one artefact in several processes."""
    lines = [DEVICE | {"run_id": path.name}]
    for k in range(processes):
        raw = [microseconds * (1 + 0.001 * k + 0.0001 * n) for n in range(20)]
        numbers = dict.fromkeys(("mean", "min", "p50", "p90", "p99", "max"), raw[10]) | {"count": 20, "std": 0.0}
        config = LATENCY["config"] | {"threads": threads}  # type: ignore[operator]
        lines.append(
            LATENCY
            | {"run_id": path.name, "repeat": k, "raw_us": raw, "raw_kept": 20, "latency_us": numbers, "config": config}
        )
    path.mkdir()
    (path / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return run(tmp_path / "before", 500)


def test_a_slower_run_is_told_and_fails_where_that_was_asked(
    edgecat_here: Edgecat, before: Path, tmp_path: Path
) -> None:
    after, page = run(tmp_path / "after", 560), tmp_path / "page.md"
    document = edgecat_here("compare", before, after, "--json", "--markdown", page).document()
    assert [row["verdict"] for row in document["rows"]] == ["worse"]
    assert document["rows"][0]["change"] == pytest.approx(0.12, abs=0.001)
    assert "| **worse** |" in page.read_text()
    assert "latency of tflite_int8" in edgecat_here("compare", before, after, "--fail-on", "5%").error(1)
    assert edgecat_here("compare", before, after, "--fail-on", "0.2").code == 0
    assert edgecat_here("compare", after, before, "--fail-on", "0%").code == 0


def test_unlike_conditions_are_one_line_and_exit_code_2(edgecat_here: Edgecat, before: Path, tmp_path: Path) -> None:
    after = run(tmp_path / "after", 500, threads=4)
    assert "threads 1 against 4" in edgecat_here("compare", before, after).refusal(2)
    assert "no change" in edgecat_here("compare", before, after, "--vary", "threads").stdout


def test_a_gate_that_could_test_nothing_does_not_pass(edgecat_here: Edgecat, before: Path, tmp_path: Path) -> None:
    after = run(tmp_path / "after", 900, processes=1)
    assert edgecat_here("compare", before, after).code == 0
    assert "nothing could be tested" in edgecat_here("compare", before, after, "--fail-on", "5%").error(4)


def test_another_tools_output_stands_beside_ours_and_joins_its_records(
    edgecat_here: Edgecat, before: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.txt"
    theirs.write_text(THEIRS)
    assert "--kind" in edgecat_here("compare", before, theirs).refusal(2)
    shown = edgecat_here("compare", before, theirs, "--kind", "embedded", "--device", "embedded")
    assert "550 µs" in shown.stdout
    assert "not tested" in shown.stdout
    words = ("--kind", "embedded", "--artifact", "theirs", "--into", before / "results.jsonl")
    assert edgecat_here("compare", theirs, *words, "--json").document()["records"] == 2
    shown = edgecat_here("compare", before, before)
    assert "theirs" in shown.stdout


def test_many_runs_make_a_history(edgecat_here: Edgecat, before: Path, tmp_path: Path) -> None:
    after = run(tmp_path / "after", 560)
    out = tmp_path / "history"
    document = edgecat_here("compare", "--history", before, after, "--out", out, "--json").document()
    assert [point["verdict"] for point in document["lines"][0]["points"]] == [None, "worse"]
    assert (out / "history_embedded.svg").is_file()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("{before}",), 2, "1 runs given"),
        (("{before}", "{before}", "--between", "a", "b"), 2, "--between is said of one run"),
        (("{before}", "--between", "tflite_int8", "tflite_fp32"), 4, "holds nothing of tflite_fp32"),
        (("{before}", "{before}", "--metric", "beauty"), 2, "no such metric"),
        (("{before}", "{before}", "--fail-on", "much"), 2, "no share"),
        (("{before}", "{before}", "--kind", "toaster"), 2, "no kind of device"),
        (("{before}", "{before}", "--device", "x"), 2, "add --kind"),
        (("{before}", "{before}/nothing"), 4, "cannot read"),
        (("{before}", "{before}/.."), 4, "no results.jsonl"),
        (("{before}", "{text}"), 4, "neither records of edgecat nor the output of a benchmark"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    words: tuple[str, ...], code: int, said: str, edgecat_here: Edgecat, before: Path, tmp_path: Path
) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear sir or madam")
    filled = [word.format(before=before, text=text) for word in words]
    assert said in edgecat_here("compare", *filled).refusal(code)
