"""Every way to make a file: it answers as its network does, and is what its recipe says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.runner.engines import Classifier, load_engine
from export.recipes import RECIPES, STANDARD, Recipe, find_recipe
from foundation.errors import ArtifactError, DataError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from export.exporting import Exported, Source

pytestmark = pytest.mark.export

Exports = Callable[[str, int], "Exported"]
OTHERS = tuple(name for name in RECIPES if name not in STANDARD)


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_recipe_passes_its_gate_too(exported: Exports, name: str) -> None:
    made, recipe = exported(name, 1), find_recipe(name)
    manifest = made.artifact.manifest
    assert made.parity.ok
    assert (manifest.recipe, manifest.precision, manifest.runtime) == (name, recipe.precision, recipe.runtime)
    outside = "int8" if recipe.runtime == "tflite" and recipe.precision == "int8" and not recipe.float_io else "float32"
    assert manifest.input.dtype == manifest.output.dtype == outside
    assert (manifest.calibration_sha256 is None) == (recipe.calibration_images == 0)


def test_fewer_bits_are_fewer_bytes(exported: Exports) -> None:
    sizes = {name: exported(name, 1).artifact.manifest.bytes for name in RECIPES}
    for name in ("tflite_fp16", "tflite_int8_weights", "tflite_int8_dynamic", "tflite_int16x8", "tflite_int8_aeq"):
        assert sizes[name] < sizes["tflite_fp32"], name
    assert sizes["executorch_int8_tensor"] < sizes["executorch_int8"] < sizes["executorch_fp32"]


def test_floats_outside_change_no_answer_of_an_int8_file(exported: Exports) -> None:
    bare, wrapped = exported("tflite_int8", 1), exported("tflite_int8_float_io", 1)
    np.testing.assert_array_equal(bare.logits, wrapped.logits)


def test_finer_precisions_are_nearer_the_network(exported: Exports) -> None:
    rms = {name: exported(name, 1).parity.rms for name in RECIPES}
    for runtime in ("tflite", "executorch"):
        assert rms[f"{runtime}_fp32"] < rms[f"{runtime}_fp16"] < rms[f"{runtime}_int8"]
    assert rms["executorch_portable"] < 1e-4


def test_qat_gives_both_runtimes_one_network(exported: Exports) -> None:
    tflite, executorch = exported("tflite_int8_qat", 1), exported("executorch_int8_qat", 1)
    np.testing.assert_allclose(tflite.logits, executorch.logits, rtol=0, atol=1e-5)
    assert not np.array_equal(tflite.logits, exported("tflite_int8", 1).logits)


def test_portable_kernels_compute_what_xnnpack_does_not_get(exported: Exports) -> None:
    delegates = {
        name: _delegated(exported(name, 1).artifact.path) for name in ("executorch_fp32", "executorch_portable")
    }
    assert delegates == {"executorch_fp32": 1, "executorch_portable": 0}


def test_dynamic_int8_has_one_scale_for_a_fully_connected_layer(exported: Exports) -> None:
    scales = _scales(exported("tflite_int8_dynamic", 1).artifact.path)
    assert set(scales["FULLY_CONNECTED"]) == {1}
    assert min(scales["CONV_2D"]) > 1


def test_fine_tuning_moves_weights_a_little_and_leaves_statistics(source_of: Callable[[int], Source]) -> None:
    import torch

    from export.fine_tuning import fine_tune
    from victim.step import as_input

    source = source_of(1)
    tuned = fine_tune(source.network, as_input(source.calibration), 1, per_channel=True)
    before, after = (dict(network.named_parameters()) for network in (source.network, tuned))
    assert before.keys() == after.keys()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    # Small steps: it stays the network that it was.
    assert all(float((after[name] - before[name]).detach().abs().max()) < 0.01 for name in moved)
    for name, buffer in source.network.named_buffers():
        torch.testing.assert_close(dict(tuned.named_buffers())[name], buffer)
    with pytest.raises(DataError, match="fine-tuning with 1 images"):
        fine_tune(source.network, as_input(source.calibration[:1]), 1, per_channel=True)


def test_a_network_that_an_exporter_does_not_know_is_an_artifact_error_in_one_line(
    source_of: Callable[[int], Source], tmp_path: Path
) -> None:
    from export.exporting import export

    source = replace(source_of(1), network=_branching())
    for name in ("tflite_fp32", "executorch_fp32"):
        with pytest.raises(ArtifactError, match=f"{name}: the exporter does not take this network: ") as caught:
            export(source, find_recipe(name), tmp_path)
        assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_of_one_s_own_is_exported(source_of: Callable[[int], Source], tmp_path: Path) -> None:
    from export.exporting import export

    own = Recipe.model_validate(find_recipe("executorch_int8").model_dump() | {"name": "few", "calibration_images": 8})
    made = export(source_of(1), own, tmp_path)
    assert made.artifact.path.name == "few.pte"
    classifier = Classifier(
        load_engine("executorch", made.artifact.path.read_bytes(), 1), (16, 16, 1), (0.0,), (1.0,), "nchw"
    )
    np.testing.assert_array_equal(classifier.logits(source_of(1).unseen[:20]), made.logits[:20])


def _branching() -> nn.Module:
    """What it computes hangs on the pixels: no graph holds that."""
    import torch
    from torch import nn

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).repeat(1, 4) if float(x.sum()) > 1 else torch.zeros(len(x), 4)

    return Branching().eval()


def _delegated(path: Path) -> int:
    """How many parts of a program are XNNPACK's."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    return len(deserialize_pte_binary(path.read_bytes()).program.execution_plan[0].delegates)


def _scales(path: Path) -> dict[str, list[int]]:
    """How many scales the weights of each int8 layer have."""
    from ai_edge_litert import schema_py_generated as schema

    from export.flatbuffer import read_model

    model = read_model(path.read_bytes())
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}
    (graph,) = model.subgraphs
    found: dict[str, list[int]] = {}
    for operator in graph.operators:
        kind = names[model.operatorCodes[operator.opcodeIndex].builtinCode]
        if kind in ("CONV_2D", "FULLY_CONNECTED"):
            weights = graph.tensors[operator.inputs[1]]
            if weights.type == schema.TensorType.INT8:
                found.setdefault(kind, []).append(len(weights.quantization.scale))
    return found
