"""docs/protocol.md is what somebody writes a runner from: its program runs, its bytes and numbers are ours."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.runner.bundle import runner_bundle
from edge.runner.messages import MAX_ERROR_WORDS, MAX_SAMPLES, POLICY_CODES, parse_answer
from edge.runner.wire import MAX_PAYLOAD, Fault, Frame, Kind, encode
from foundation.answers import AnswerPolicy
from foundation.portable import image_seeds

if TYPE_CHECKING:
    from export.exporting import Exported

DOCUMENT = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()


def test_kinds_and_error_codes_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| (\d) \| ([A-Z_]+) \|", DOCUMENT, re.MULTILINE)
    expected = [(str(kind.value), kind.name) for kind in Kind] + [(str(fault.value), fault.name) for fault in Fault]
    assert rows == expected


def test_limits_are_those_of_the_document() -> None:
    for limit in (MAX_PAYLOAD, MAX_SAMPLES, MAX_ERROR_WORDS):
        assert f"{limit:,}" in DOCUMENT


def test_the_bytes_of_the_document_are_read_as_it_says() -> None:
    (bye,) = re.findall(r"`(45434154 02 07 [0-9a-f ]+)`", DOCUMENT)
    assert encode(Frame(Kind.BYE, 0, b"")) == bytes.fromhex(bye)
    lines = DOCUMENT[DOCUMENT.index("    topk:2   02") :].splitlines()[:4]
    topk, scores = (
        bytes.fromhex("".join(re.findall(r"\b(?:[0-9a-f]{2}|[0-9a-f]{4}|[0-9a-f]{8}|[0-9a-f]{16})\b", text)))
        for text in (
            "".join(part.split("   classes")[0].split("   two")[0] for part in lines[k : k + 2]) for k in (0, 2)
        )
    )
    answers = parse_answer(topk, AnswerPolicy.parse("topk:2"), 4)
    assert answers.labels.tolist() == [[3, 0], [1, 2]]
    assert answers.scores is not None
    assert answers.scores.tolist() == [[0.5, 0.25], [1.0, 0.0]]
    assert answers.device_ns.tolist() == [1, 16_909_060]
    whole = parse_answer(scores, AnswerPolicy("scores"), 2)
    assert whole.scores is not None
    np.testing.assert_array_equal(whole.scores, [[0.5, 0.5], [0.25, 0.75]])


@pytest.mark.export
def test_the_program_of_the_document_talks_to_a_runner(
    exported: Callable[[str, int], Exported], tmp_path: Path
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    (tmp_path / "talk.py").write_text(program)
    (tmp_path / "runner.pyz").write_bytes(runner_bundle())
    model = exported("tflite_int8", 1).artifact.path
    command = [sys.executable, "-I", "talk.py", "runner.pyz", str(model)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    hello, answers, end = done.stdout.splitlines()
    assert hello.startswith('(1, 0, b\'{"runner": "edgecat-python 1"')
    assert answers.startswith("[[")
    assert end == "exit code 0"


def test_policies_of_the_document_are_those_of_the_runner() -> None:
    rows = re.findall(r"^\| (\d) \| `([a-z_]+)(?::[A-Z,]+)?`", DOCUMENT, re.MULTILINE)
    assert {kind: int(number) for number, kind in rows} == POLICY_CODES


def test_the_seed_of_the_document_is_that_of_its_image() -> None:
    ((seed, image),) = re.findall(r"seed ([0-9a-f]{16}) is the nine bytes ([0-9a-f]{18})", DOCUMENT)
    assert image_seeds(np.frombuffer(bytes.fromhex(image), np.uint8)[None]) == [int(seed, 16)]
