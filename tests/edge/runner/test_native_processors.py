"""Two processors, one answer: what an emulated ARM device says of an int8 model stands for what this machine says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.runner.messages import parse_answer, query_payload
from edge.runner.wire import Frame, Kind
from foundation.answers import AnswerPolicy

from .native_runners import native_kind
from .runner_process import RunnerProcess

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.export, pytest.mark.timeout(120, func_only=True)]


@pytest.mark.parametrize(("engine", "recipe"), [("litert", "tflite_int8"), ("executorch", "executorch_int8")])
def test_int8_scores_of_arm64_are_bit_equal_to_those_of_this_machine(
    exported: Callable[[str, int], Exported], tmp_path: Path, engine: str, recipe: str
) -> None:
    artifact = exported(recipe, 1).artifact
    images = np.random.default_rng(3).integers(0, 256, (1000, *artifact.manifest.image.shape), np.uint8)
    payloads = []
    for name in (f"native-{engine}", f"arm64-{engine}"):
        with RunnerProcess(native_kind(name), artifact, tmp_path, policy="scores") as process:
            classes = process.hello().classes
            process.send(Frame(Kind.QUERY, 1, query_payload(images)))
            answers = parse_answer(process.receive().payload, AnswerPolicy("scores"), classes)
            assert answers.scores is not None
            payloads.append(answers.scores)
    assert len(np.unique(payloads[0], axis=0)) > 100
    np.testing.assert_array_equal(payloads[0].view(np.uint32), payloads[1].view(np.uint32))
