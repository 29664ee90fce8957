"""`edgecat run`: the whole road in one command, what it prints, what it leaves, and the same from Python."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from foundation.errors import CheckFailed, ExitCode
from foundation.files import sha256_file

from .command_line import CommandLine, Ended
from .conftest import Walked

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]


def queries(ledger: Path) -> set[tuple[str, int, bytes]]:
    """Who asked about which image when, as the ledger has it."""
    with closing(sqlite3.connect(ledger)) as opened:
        rows = opened.execute("SELECT thief, position, image FROM queries JOIN attacks ON attack = id").fetchall()
    return {(thief, position, bytes(image)) for thief, position, image in rows}


def test_a_run_prints_one_document_with_its_numbers(walked: Walked) -> None:
    document = walked.document
    assert Path(document["report"]) == walked.directory / "report.html"
    assert document["quick"] is True
    assert document["victim"]["accuracy"] > 0.8
    (artifact,) = document["artifacts"]
    assert (artifact["name"], artifact["runtime"], artifact["precision"]) == ("tflite_int8", "tflite", "int8")
    assert artifact["bytes"] == walked.artifact.path.stat().st_size
    assert artifact["sha256"] == sha256_file(walked.artifact.path)
    assert artifact["parity"]["agreement"] >= 0.96
    assert artifact["parity"]["rms"] > 0
    assert abs(artifact["accuracy_on_device"] - document["victim"]["accuracy"]) <= 0.02
    assert (artifact["labels_compared"], artifact["labels_equal"]) == (1000, 1000)
    assert 0 < artifact["latency_us"]["p50"] <= artifact["latency_us"]["p90"]


def test_a_run_prints_what_was_stolen(walked: Walked) -> None:
    (attack,) = walked.document["attacks"]
    said = {name: attack[name] for name in ("artifact", "pool", "strategy", "answers", "budget", "queries", "seeds")}
    assert said == {
        "artifact": "tflite_int8",
        "pool": "pd:50",
        "strategy": "amplify",
        "answers": "label",
        "budget": 200,
        "queries": 200,
        "seeds": [0, 1],
    }
    low, high = attack["fidelity_ci"]
    assert 0 <= low <= attack["fidelity"] <= high <= 1
    # Random labels would agree on a third.
    assert attack["fidelity"] > 0.5
    assert attack["accuracy"] > 0.5
    assert attack["relative_accuracy"] == pytest.approx(
        attack["accuracy"] / walked.document["artifacts"][0]["accuracy_on_device"]
    )
    assert attack["seconds_query"] > 0
    assert attack["seconds_train"] > 0


def test_a_run_narrates_on_stderr_only(walked: Walked) -> None:
    assert walked.ended.stdout.startswith("{")
    for word in ("run directory", "victim:", "tflite_int8:", "device embedded", "pd:50, amplify, seed 1"):
        assert word in walked.ended.stderr
    assert "Warning" not in walked.ended.stderr


def test_a_run_leaves_everything_in_one_directory(walked: Walked) -> None:
    left = {name for name in walked.left if not name.startswith(".")}
    expected = {"run.toml", "victim", "artifacts", "ledger.sqlite", "results.jsonl", "report.html", "report.md"}
    expected |= {"copycats", "queried"}
    assert expected <= left <= expected | {"plots", "tables"}
    assert walked.checkpoint.is_file()
    assert not list(walked.directory.rglob("*.partial"))
    assert len(queries(walked.directory / "ledger.sqlite")) == 2 * 200


def test_python_does_what_the_command_line_does(walked: Walked, data: Path, tmp_path: Path) -> None:
    from edgecat.directory import open_directory
    from edgecat.pipeline import run
    from edgecat.settings import load_settings, make_settings

    settings = make_settings(
        data=str(data),
        runtimes=("tflite",),
        precisions=("int8",),
        pools=("pd:50",),
        budgets=(200,),
        seeds=2,
        epochs=4,
        quick=True,
    )
    assert settings == load_settings(walked.directory / "run.toml")
    summary = run(settings, open_directory(tmp_path / "run", settings))
    assert summary.report == str(tmp_path / "run" / "report.html")
    assert summary.model_dump().keys() == walked.document.keys()
    assert [artifact.name for artifact in summary.artifacts] == ["tflite_int8"]
    assert summary.artifacts[0].labels_equal == 1000
    assert [attack.queries for attack in summary.attacks] == [200]
    assert queries(tmp_path / "run" / "ledger.sqlite") == queries(walked.directory / "ledger.sqlite")


def test_a_file_that_fails_its_gate_ends_with_1_and_is_still_described(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.records import ArtifactRecord
    from edgecat.stages.export import gate
    from export.recipes import RECIPES

    exacting = RECIPES["tflite_int8"].model_copy(update={"min_agreement": 1.0, "max_relative_rms": 1e-9})
    monkeypatch.setitem(RECIPES, "tflite_int8", exacting)
    words = ("--recipe", "tflite_int8", "--out", tmp_path, "--json")
    ended = edgecat_here("export", walked.checkpoint, "--data", data, *words)
    assert "fails the parity gate" in ended.error(1)
    assert "it parts at layer stem.0.0" in ended.error(1)
    (document,) = json.loads(ended.stdout)["artifacts"]
    assert Path(document.pop("path")).is_file()
    record = ArtifactRecord.model_validate(document)
    assert not record.parity.ok
    with pytest.raises(CheckFailed, match="parity gate") as caught:
        gate(record)
    assert caught.value.exit_code == ExitCode.CHECK_FAILED == 1


def test_a_run_that_is_interrupted_says_how_to_go_on(edgecat: CommandLine, data: Path, tmp_path: Path) -> None:
    # As a terminal does it: the signal goes to the whole group. A shell may have left SIGINT ignored.
    script = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from edgecat.__main__ import main; main()"
    words = ("run", "--data", str(data), "--out", str(tmp_path / "run"), "--epochs", "100000", "--json")
    child = subprocess.Popen(
        [sys.executable, "-c", script, *words],
        env=edgecat.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 90
        while not (tmp_path / "run" / "results.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        os.killpg(child.pid, signal.SIGINT)
        stdout, stderr = child.communicate(timeout=30)
    finally:
        child.kill()
        child.wait()
    told = Ended(child.returncode, stdout, stderr).refusal(130)
    assert "interrupted" in told
    assert "edgecat run --resume" in told
    assert (tmp_path / "run" / "run.toml").is_file()
    assert not list((tmp_path / "run").rglob("*.partial"))
