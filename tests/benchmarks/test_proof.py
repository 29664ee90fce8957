"""Checks of runnable benchmarks, and the tables made from their records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import main_road, proof, tables

ROOT = Path(__file__).parents[2]


def test_a_check_holds_on_its_bound_and_not_beyond() -> None:
    assert proof.at_most("seconds", 240.0, 240, "s").ok is True
    assert proof.at_most("seconds", 240.1, 240, "s").ok is False
    assert proof.at_least("accuracy", 0.80, 0.80).ok is True
    assert proof.at_least("accuracy", 0.79, 0.80).ok is False


def test_what_was_left_out_is_neither_passed_nor_failed() -> None:
    check = proof.at_most("seconds", None, 240, "s")
    assert check.value is None
    assert check.ok is None


def test_a_failing_check_is_the_exit_code_and_stands_in_the_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "record.jsonl"
    monkeypatch.setattr(sys, "argv", ["thing.py", "--json", "--quick", "--record", str(record)])
    code = proof.main("thing", lambda quick: ({"quick": quick}, [proof.at_least("x", 1, 2)]), "A thing.")
    printed = json.loads(capsys.readouterr().out)
    assert code == 1
    assert printed == json.loads(record.read_text())
    assert printed["quick"] is True
    assert printed["raw"] == {"quick": True}
    assert printed["checks"] == [{"name": "x", "value": 1.0, "bound": ">= 2", "ok": False}]
    assert printed["context"]["command"] == [
        "python",
        "-m",
        "benchmarks.thing",
        "--json",
        "--quick",
        "--record",
        str(record),
    ]


def test_artefacts_that_were_not_measured_leave_checks_without_verdict() -> None:
    checks = main_road._artifact_checks("phantom", None)
    assert len(checks) == 16
    assert all(check.ok is None for check in checks)


def test_tables_in_the_documents_are_those_of_the_records() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tables", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_table_is_rewritten_between_its_marks_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_TABLES", {"artifacts": lambda: "| new |"})
    before = "a\n<!-- table: artifacts -->\nold\n<!-- end -->\nz\n"
    assert tables.rewritten(before) == "a\n<!-- table: artifacts -->\n| new |\n<!-- end -->\nz\n"
