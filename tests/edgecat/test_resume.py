"""A run that was killed, damaged or refused: nothing is lost, asked twice or paid twice."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks import records
from benchmarks.records import AccuracyOnDevice, ArtifactRecord, Attack, Latency, Victim
from edgecat.directory import RunDirectory
from foundation.errors import DataError
from foundation.manifest import load_artifact

from .command_line import CommandLine, Ended

pytestmark = [
    pytest.mark.device,
    pytest.mark.export,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]

# A thief asks for all of a budget at once: between two of them it is in the middle.
BUDGETS = (300, 900, 1500, 2100, 3000)
THIEVES = 4
OPTIONS = ["--size", "16", "--epochs", "3", "--runtime", "tflite", "--precision", "int8", "--quick", "--json"]
OPTIONS += ["--pool", "npd", "--pool", "pd:50", "--budgets", ",".join(map(str, BUDGETS)), "--seeds", "2"]
OPTIONS += ["--thief", "small_thief:make"]
# A network of the user's own, so small that training is no part of the time these tests take.
SMALL_THIEF = """
from torch import nn


def make(channels, classes):
    return nn.Sequential(nn.Conv2d(channels, 8, 4, 4), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, classes))
"""
# Waiting on barriers between threads takes whole seconds a step where other work fills the cores.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}

# Of an attack: who asks whom, then images and answers in order.
Asked = dict[tuple[str, str, str], list[tuple[bytes, bytes]]]


def asked(ledger: Path) -> Asked:
    """Every attack in a ledger, read beside whoever writes it."""
    database = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    try:
        attacks = database.execute("SELECT id, victim, policy, thief FROM attacks ORDER BY id").fetchall()
        query = "SELECT image, answer FROM queries WHERE attack = ? ORDER BY position"
        return {tuple(who): database.execute(query, (number,)).fetchall() for number, *who in attacks}  # type: ignore[misc]
    finally:
        database.close()


def counts(ledger: Path) -> list[int]:
    """Queries of each attack so far; nothing where there is no ledger yet."""
    try:
        database = sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return []
    try:
        rows = database.execute("SELECT count(*) FROM queries GROUP BY attack ORDER BY attack").fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        database.close()
    return [count for (count,) in rows]


def in_the_middle(ledger: Path) -> bool:
    """Whether the newest attack has hundreds of queries, and not all of them."""
    found = counts(ledger)
    return bool(found) and BUDGETS[0] < found[-1] < BUDGETS[-1]


def descendants(parent: int) -> set[int]:
    """Processes that come from `parent`, at this moment."""
    parents = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = place.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(place.parent.name)] = int(after_name[1])
    found, fresh = set(), {parent}
    while fresh:
        fresh = {child for child, its in parents.items() if its in fresh} - found
        found |= fresh
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill_in_the_middle(edgecat: CommandLine, directory: Path, *words: str) -> set[int]:
    """Start `edgecat run`, end it by SIGKILL in the middle of an attack; gives the processes that it had started."""
    log = directory.with_suffix(".log")
    # A killed host cannot remove its device's directory.
    temporary = directory.with_suffix(".tmp")
    temporary.mkdir(exist_ok=True)
    with log.open("a") as stream:
        host = subprocess.Popen(
            [sys.executable, "-m", "edgecat", "run", "--out", str(directory), *words],
            cwd=edgecat.directory,
            env=edgecat.environment | ONE_THREAD | {"TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    ledger = directory / "ledger.sqlite"
    before = len(counts(ledger))
    children: set[int] = set()
    try:
        deadline = time.monotonic() + 200
        while True:
            assert time.monotonic() < deadline, log.read_text()
            assert host.poll() is None, f"ended before it could be killed: {log.read_text()}"
            now = counts(ledger)
            if len(now) > before and not children:
                children = descendants(host.pid)
            if len(now) > before and in_the_middle(ledger):
                break
            time.sleep(0.004)
    finally:
        host.kill()
        assert host.wait(20) == -signal.SIGKILL
    return children


@dataclass(frozen=True)
class Broken:
    """A run that was killed twice and then walked to its end.

    Attributes:
        directory: of the run.
        started: processes that the first host had started.
        orphans: those of them that were still there 15 s after its end.
        killed_at: the ledger's content after each kill.
        ended: what the last walk printed.
    """

    directory: Path
    started: set[int]
    orphans: set[int]
    killed_at: list[Asked]
    ended: Ended


@pytest.fixture(scope="module")
def asked_for(edgecat: CommandLine, data: Path) -> list[str]:
    """The options of both runs; their thief's module stands in the directory that they run in."""
    (edgecat.directory / "small_thief.py").write_text(SMALL_THIEF)
    return ["--data", str(data), *OPTIONS]


@pytest.fixture(scope="module")
def unbroken(edgecat: CommandLine, asked_for: list[str]) -> Path:
    directory = edgecat.directory / "unbroken"
    ended = edgecat("run", "--out", directory, *asked_for, **ONE_THREAD)
    assert ended.code == 0, ended.stderr
    return directory


@pytest.fixture(scope="module")
def broken(edgecat: CommandLine, asked_for: list[str]) -> Broken:
    directory = edgecat.directory / "broken"
    started = kill_in_the_middle(edgecat, directory, *asked_for)
    deadline = time.monotonic() + 15
    while any(map(alive, started)) and time.monotonic() < deadline:
        time.sleep(0.05)
    orphans = set(filter(alive, started))
    killed_at = [asked(directory / "ledger.sqlite")]
    kill_in_the_middle(edgecat, directory, "--resume")
    killed_at.append(asked(directory / "ledger.sqlite"))
    ended = edgecat("run", "--resume", "--out", directory, "--json", **ONE_THREAD)
    return Broken(directory, started, orphans, killed_at, ended)


def of(directory: Path, kind: type[Any]) -> list[Any]:
    """The records of one kind."""
    return [record for record in records.read(directory / "results.jsonl") if isinstance(record, kind)]


def thefts(directory: Path) -> dict[tuple[str, int, int], Attack]:
    found = of(directory, Attack)
    by_key = {(record.pool, record.seed, record.budget): record for record in found}
    assert len(by_key) == len(found) == THIEVES * len(BUDGETS)
    return by_key


# --- killed in the middle of an attack


def test_the_kills_fell_into_the_middle_of_two_attacks(broken: Broken) -> None:
    first, second = ([len(rows) for rows in content.values()] for content in broken.killed_at)
    assert len(first) < len(second)
    for sizes in (first, second):
        assert set(sizes[:-1]) <= {BUDGETS[-1]}
        assert BUDGETS[0] < sizes[-1] < BUDGETS[-1]


def test_the_device_and_its_runner_end_when_their_host_is_killed(broken: Broken) -> None:
    assert len(broken.started) >= 2
    assert broken.orphans == set()


def test_a_killed_run_resumes_to_a_whole_report(broken: Broken) -> None:
    document = broken.ended.document()
    assert Path(document["report"]).name == "report.html"
    assert [(attack["pool"], attack["budget"], attack["queries"]) for attack in document["attacks"]] == [
        (pool, budget, budget) for pool in ("npd", "pd:50") for budget in BUDGETS
    ]


def test_the_ledger_holds_each_query_once_and_the_budget_is_met_exactly(broken: Broken) -> None:
    content = asked(broken.directory / "ledger.sqlite")
    assert len(content) == THIEVES
    for rows in content.values():
        assert len(rows) == BUDGETS[-1]
        assert len({image for image, _ in rows}) == BUDGETS[-1]


def test_what_was_paid_before_a_kill_still_stands_first(broken: Broken) -> None:
    final = asked(broken.directory / "ledger.sqlite")
    for before in broken.killed_at:
        for who, rows in before.items():
            assert final[who][: len(rows)] == rows


def test_nothing_is_asked_of_the_device_twice(broken: Broken) -> None:
    """The last walk asked for what was missing, no more."""
    known = {who[2]: len(rows) for who, rows in broken.killed_at[-1].items()}
    for record in of(broken.directory, Attack):
        if record.budget != BUDGETS[-1]:
            continue
        before = [n for thief, n in known.items() if f'"{record.pool}"' in thief and f'"seed": {record.seed},' in thief]
        assert record.queries == BUDGETS[-1]
        if before and before[0] < BUDGETS[-1]:
            assert record.device_queries == BUDGETS[-1] - before[0]


def test_a_killed_run_asks_and_is_answered_like_an_unbroken_one(broken: Broken, unbroken: Path) -> None:
    """Images and answers, in order: the thief's training set."""
    assert asked(broken.directory / "ledger.sqlite") == asked(unbroken / "ledger.sqlite")


def test_the_thieves_of_a_killed_run_are_those_of_an_unbroken_one(broken: Broken, unbroken: Path) -> None:
    ours, theirs = thefts(broken.directory), thefts(unbroken)
    assert ours.keys() == theirs.keys()
    for key, record in ours.items():
        assert record.thief_predictions == theirs[key].thief_predictions
        assert record.answer_histogram == theirs[key].answer_histogram
        assert (record.fidelity, record.fidelity_ci) == (theirs[key].fidelity, theirs[key].fidelity_ci)


def test_victim_and_artefact_are_made_once_and_measured_once(broken: Broken, unbroken: Path) -> None:
    for kind in (Victim, ArtifactRecord, AccuracyOnDevice, Latency):
        assert len(of(broken.directory, kind)) == 1
    assert of(broken.directory, ArtifactRecord)[0].sha256 == of(unbroken, ArtifactRecord)[0].sha256


# --- damaged between two walks


@pytest.fixture(scope="module")
def mended(edgecat: CommandLine, unbroken: Path) -> tuple[Path, Ended]:
    """A finished run whose last record was torn and whose model file was cut short, resumed."""
    directory = edgecat.directory / "mended"
    shutil.copytree(unbroken, directory)
    results = directory / "results.jsonl"
    content = results.read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    assert b'"kind":"attack"' in content[last:]
    results.write_bytes(content[: (last + len(content)) // 2])
    model = directory / "artifacts" / "tflite_int8.tflite"
    model.write_bytes(model.read_bytes()[:5000])
    return directory, edgecat("run", "--resume", "--out", directory, "--json", **ONE_THREAD)


def test_a_torn_last_record_is_made_again(mended: tuple[Path, Ended], unbroken: Path) -> None:
    directory, ended = mended
    assert ended.code == 0, ended.stderr
    assert "is torn (a run was killed while writing it); dropped" in ended.stderr
    before, after = of(unbroken, Attack), of(directory, Attack)
    assert [record.seed for record in after] == [record.seed for record in before]
    assert after[-1].thief_predictions == before[-1].thief_predictions
    assert after[:-1] == before[:-1]


def test_a_thief_that_is_trained_again_asks_nothing_again(mended: tuple[Path, Ended], unbroken: Path) -> None:
    directory, _ = mended
    assert of(directory, Attack)[-1].device_queries == 0
    assert asked(directory / "ledger.sqlite") == asked(unbroken / "ledger.sqlite")


def test_a_model_file_that_was_cut_short_is_exported_again(mended: tuple[Path, Ended], unbroken: Path) -> None:
    directory, _ = mended
    file = Path("artifacts") / "tflite_int8.tflite"
    assert (directory / file).read_bytes() == (unbroken / file).read_bytes()
    assert Counter(record.name for record in of(directory, ArtifactRecord)) == {"tflite_int8": 2}
    assert len(of(directory, AccuracyOnDevice)) == 1


def test_numbers_on_record_never_come_to_stand_for_another_file(
    unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model file is gone, and what is exported in its place (by another release, say) is not the same."""
    from edgecat import pipeline
    from edgecat.settings import load_settings

    monkeypatch.syspath_prepend(unbroken.parent)
    place = RunDirectory(tmp_path / "run")
    shutil.copytree(unbroken, place.path)
    record = of(place.path, ArtifactRecord)[0]
    other = record.model_copy(update={"sha256": "0" * 64})
    model = place.artifacts / "tflite_int8.tflite"
    artifact = load_artifact(model)
    model.unlink()
    monkeypatch.setattr(pipeline, "export_victim", lambda *_, **__: iter([(artifact, other)]))
    before = place.results.read_bytes()
    with pytest.raises(DataError, match="another file") as caught:
        pipeline.run(load_settings(place.settings), place)
    assert "new run" in (caught.value.hint or "")
    assert b"0" * 64 not in place.results.read_bytes()[len(before) :]


# --- refused


@pytest.fixture
def finished(unbroken: Path) -> Iterator[Path]:
    """A finished run that the test must leave as it is."""

    def content() -> dict[Path, bytes]:
        files = (path for path in unbroken.rglob("*") if path.is_file() and path.name != ".lock")
        return {path: path.read_bytes() for path in files}

    before = content()
    yield unbroken
    assert content() == before


@pytest.mark.parametrize(
    "words",
    [("--seed", "1"), ("--budgets", "500"), ("--pool", "npd"), ("--quick",), ("--data", "phantom"), ("--seeds", "3")],
    ids=" ".join,
)
def test_a_resumed_run_keeps_its_settings(edgecat: CommandLine, finished: Path, words: tuple[str, ...]) -> None:
    told = edgecat("run", "--resume", "--out", finished, *words).refusal(2)
    assert f"{words[0]} cannot change them" in told


def test_a_new_run_does_not_enter_a_directory_that_holds_one(edgecat: CommandLine, data: Path, finished: Path) -> None:
    told = edgecat("run", "--data", data, "--out", finished).refusal(2)
    assert f"{finished} holds a run already" in told
    assert "--resume" in told


def test_a_second_process_is_kept_out_of_a_directory(edgecat: CommandLine, finished: Path) -> None:
    with RunDirectory(finished).locked():
        told = edgecat("run", "--resume", "--out", finished).refusal(2)
    assert f"another edgecat works in {finished}" in told


def test_there_is_nothing_to_resume_where_no_run_is(edgecat: CommandLine, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "gone"):
        told = edgecat("run", "--resume", "--out", place).refusal(4)
        assert f"{place} is no run directory" in told
    assert list(tmp_path.iterdir()) == []


def test_there_is_nothing_to_resume_below_runs(edgecat: CommandLine, tmp_path: Path) -> None:
    elsewhere = CommandLine(tmp_path, edgecat.environment)
    assert "no run to resume below runs/" in elsewhere("run", "--resume").refusal(2)


@pytest.mark.parametrize("content", [b"", b"data = [", b"\xff\xfe\x00", b'colour = "red"\n'], ids=repr)
def test_settings_that_cannot_be_read_are_told(edgecat: CommandLine, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    assert str(tmp_path / "run.toml") in edgecat("run", "--resume", "--out", tmp_path).refusal(4)
