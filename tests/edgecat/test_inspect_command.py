"""`edgecat inspect` as a user meets it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .command_line import CommandLine

if TYPE_CHECKING:
    from export.exporting import Exported

Exports = Callable[[str, int], "Exported"]


@pytest.mark.export
def test_a_file_is_told_in_lines_and_as_one_document(edgecat: CommandLine, exported: Exports) -> None:
    path = exported("tflite_int8", 1).artifact.path
    ended = edgecat("inspect", path)
    assert ended.code == 0
    lines = dict(line.split(maxsplit=1) for line in ended.stdout.splitlines() if line)
    document = edgecat("inspect", path, "--json").document()
    assert lines["MACs"] == f"{document['macs']:,}"
    assert f"TFLite {document['oldest_runtime']} or newer" in lines["runs"]
    told = {one["kind"]: str(one["count"]) for one in document["kinds"]}
    assert told == {kind: lines[kind].split()[0] for kind in told}
    every = edgecat("inspect", path, "--every").stdout.partition("\n\n")[2].splitlines()[1:]
    assert [line.split()[0] for line in every] == [one["kind"] for one in document["operators"]]


@pytest.mark.export
def test_a_program_s_delegates_are_told_without_loading_a_runtime(edgecat: CommandLine, exported: Exports) -> None:
    path = exported("executorch_int8", 1).artifact.path
    ended = edgecat("inspect", path, python=("-X", "importtime"))
    assert ended.code == 0
    assert "XnnpackBackend: 8 operators" in ended.stdout
    assert "100% of operators" in ended.stdout
    loaded = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines() if line.startswith("import time:")}
    assert "export.inspection" in loaded
    assert not loaded & {"torch", "executorch"}


def test_a_bad_file_is_one_line(edgecat: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "notes.tflite").write_text("nothing of a model")
    assert "neither a .tflite nor a .pte file" in edgecat("inspect", tmp_path / "notes.tflite").refusal(4)
    assert "no model file" in edgecat("inspect", tmp_path / "missing.pte", "--json").refusal(4)


def test_wrong_usage_is_told(edgecat: CommandLine) -> None:
    assert edgecat("inspect").code == edgecat("inspect", "a.tflite", "b.tflite").code == 2
    ended = edgecat("inspect", "--help", COLUMNS="200")
    assert (ended.code, ended.stderr) == (0, "")
    assert "--every" in ended.stdout
