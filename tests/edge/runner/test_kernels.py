"""Programs that are not delegated whole: with kernels a runner answers as ExecuTorch in process, without it says so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.deployment import RunnerOptions, deploy
from edge.devices.opening import OpenDevice
from edge.runner.bundle import runner_bundle
from edge.runner.messages import parse_answer, query_payload
from edge.runner.wire import Fault, Frame, Kind
from foundation.answers import AnswerPolicy
from foundation.errors import ExitCode, OperatorMissingError
from foundation.files import sha256_bytes
from foundation.manifest import Artifact, save_manifest

from .native_runners import native_kind
from .runner_process import RunnerKind, RunnerProcess

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.export, pytest.mark.timeout(120, func_only=True)]

LOGITS = AnswerPolicy("logits")
LEFT_OVER = {
    "executorch_fp16": {"dim_order_ops::_to_dim_order_copy.out"},
    "executorch_portable": {"aten::convolution.out", "aten::relu.out", "aten::addmm.out"},
}
Exports = Callable[[str, int], "Exported"]


def kind_of(name: str, directory: Path) -> RunnerKind:
    if name != "python":
        return native_kind(name)
    bundle = directory / "runner.pyz"
    bundle.write_bytes(runner_bundle())
    return RunnerKind("python", (sys.executable, "-I", str(bundle)), ("executorch",))


@pytest.fixture(scope="module")
def foreign(exported: Exports, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A program with an operator that nobody has a kernel for."""
    artifact = exported("executorch_portable", 1).artifact
    content = artifact.path.read_bytes().replace(b"aten::relu", b"mine::relu")
    path = tmp_path_factory.mktemp("foreign") / "foreign.pte"
    path.write_bytes(content)
    changes = {"name": "foreign", "file": path.name, "sha256": sha256_bytes(content)}
    return save_manifest(path, artifact.manifest.model_copy(update=changes))


@pytest.mark.parametrize("recipe", LEFT_OVER)
@pytest.mark.parametrize("name", ["python", "native-executorch-kernels", "arm64-executorch-kernels"])
def test_answers_are_those_of_executorch_in_process(name: str, recipe: str, exported: Exports, tmp_path: Path) -> None:
    from export.parity import runtime_logits

    artifact = exported(recipe, 1).artifact
    images = np.random.default_rng(5).integers(0, 256, (200, *artifact.manifest.image.shape), np.uint8)
    expected = runtime_logits(artifact, images)
    with RunnerProcess(kind_of(name, tmp_path), artifact, tmp_path, policy="logits") as process:
        process.hello()
        process.send(Frame(Kind.QUERY, 1, query_payload(images)))
        answers = parse_answer(process.receive().payload, LOGITS, expected.shape[1])
    assert len(np.unique(expected.argmax(1))) > 1
    assert answers.scores is not None
    if name.startswith("arm64"):
        # Another processor sums in another order, and rounds to halves elsewhere.
        bound = 0.01 if recipe.endswith("fp16") else 1e-5
        np.testing.assert_allclose(answers.scores, expected, rtol=0, atol=bound * np.abs(expected).max())
    else:
        np.testing.assert_array_equal(answers.scores, expected)


@pytest.mark.parametrize("recipe", LEFT_OVER)
@pytest.mark.parametrize("name", ["native-executorch", "arm64-executorch"])
def test_a_runner_without_kernels_names_the_operators_that_it_lacks(
    name: str, recipe: str, exported: Exports, tmp_path: Path
) -> None:
    with RunnerProcess(native_kind(name), exported(recipe, 1).artifact, tmp_path) as process:
        fault, words, code = process.refusal()
    assert (fault, code) == (Fault.OPERATOR_MISSING, 1)
    named = words.removeprefix("no kernel for ").split(", ")
    assert len(set(named)) == len(named)
    assert LEFT_OVER[recipe] <= set(named)


@pytest.mark.parametrize("name", ["python", "native-executorch-kernels", "arm64-executorch-kernels"])
def test_an_operator_that_nobody_has_is_named(name: str, foreign: Artifact, tmp_path: Path) -> None:
    with RunnerProcess(kind_of(name, tmp_path), foreign, tmp_path) as process:
        assert process.refusal() == (Fault.OPERATOR_MISSING, "no kernel for mine::relu.out", 1)


@pytest.mark.device
def test_a_device_gets_the_kernels_only_for_a_program_that_wants_them(
    phone: OpenDevice, exported: Exports, foreign: Artifact
) -> None:
    native_kind("native-executorch-kernels")  # Skips where it cannot be built.

    def folders() -> set[str]:
        there = f"{phone.info.workdir}/runners"
        return set(phone.adb.check_shell(f"mkdir -p {there} && ls {there}").decode().split())

    before = folders()
    with deploy(phone, exported("executorch_int8", 1).artifact) as model:
        assert model.hello.runner.startswith("edgecat-native")
    assert not [name for name in folders() - before if name.startswith("executorch-kernels")]
    with deploy(phone, exported("executorch_fp16", 1).artifact) as model:
        assert model.hello.runner.startswith("edgecat-native")
    assert [name for name in folders() if name.startswith("executorch-kernels-linux")]
    for runner in ("auto", "executorch-linux", "python"):
        with pytest.raises(OperatorMissingError, match="mine::relu") as caught:
            deploy(phone, foreign, options=RunnerOptions(runner=runner))
        assert caught.value.exit_code == ExitCode.DATA
        assert caught.value.hint is not None
