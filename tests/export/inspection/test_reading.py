"""What an inspection tells is what the network, the runtimes and the exporters know otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from export.inspection import Inspection, inspect_model
from export.recipes import RECIPES

if TYPE_CHECKING:
    from torch import nn

    from export.exporting import Exported, Source

pytestmark = pytest.mark.export

Exports = Callable[[str, int], "Exported"]
Sources = Callable[[int], "Source"]


def told(exported: Exports, recipe: str, channels: int = 1) -> Inspection:
    return inspect_model(exported(recipe, channels).artifact.path)


@pytest.mark.parametrize("recipe", RECIPES)
def test_macs_are_those_that_pytorch_multiplies(exported: Exports, source_of: Sources, recipe: str) -> None:
    counted = macs_of(source_of(1).network, (1, 1, 16, 16))
    assert len(counted) == 3
    found = told(exported, recipe)
    assert sorted(one.macs for one in found.operators if one.macs) == sorted(counted)
    assert found.macs == sum(counted)
    assert found.untold == ()


@pytest.mark.parametrize("recipe", ["tflite_fp32", "executorch_fp32"])
def test_macs_of_three_channels(exported: Exports, source_of: Sources, recipe: str) -> None:
    assert told(exported, recipe, 3).macs == sum(macs_of(source_of(3).network, (1, 3, 16, 16)))


def test_parameters_are_the_network_s_with_batch_norm_folded(exported: Exports, source_of: Sources) -> None:
    network = source_of(1).network
    learnt = sum(one.numel() for one in network.parameters())
    statistics = sum(one.numel() for one in network.buffers() if one.ndim)
    # A scale and a shift of 8 channels become one bias.
    folded = learnt - 8
    for recipe in RECIPES:
        count = sum(one.count for one in told(exported, recipe).parameters.values())
        assert count == (learnt + statistics if recipe == "executorch_portable" else folded), recipe
    int8 = told(exported, "tflite_int8").parameters
    weights = sum(one.numel() for one in network.parameters() if one.ndim > 1)
    assert (int8["int8"].count, int8["int8"].bytes) == (weights, weights)
    assert (int8["int32"].count, int8["int32"].bytes) == (folded - weights, 4 * (folded - weights))


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name.startswith("tflite")])
def test_a_tflite_file_s_operators_and_tensors_are_those_that_litert_sees(exported: Exports, recipe: str) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = exported(recipe, 1).artifact.path
    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=plain)
    interpreter.allocate_tensors()
    found = inspect_model(path)
    assert [one.kind for one in found.operators] == [one["op_name"] for one in interpreter._get_ops_details()]
    assert sum(one.count for one in found.kinds) == len(found.operators)
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    for one, detail in zip((*found.inputs, *found.outputs), details, strict=True):
        assert (one.name, one.shape, one.dtype) == (detail["name"], tuple(detail["shape"]), detail["dtype"].__name__)
        assert (one.scale or 0, one.zero_point or 0) == pytest.approx(detail["quantization"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_the_manifest_says_is_in_the_file(exported: Exports, recipe: str) -> None:
    found, manifest = told(exported, recipe), exported(recipe, 1).artifact.manifest
    assert (found.recipe, found.format, found.bytes) == (recipe, manifest.runtime, manifest.bytes)
    for (one,), spec in ((found.inputs, manifest.input), (found.outputs, manifest.output)):
        assert (one.shape, one.dtype, one.layout) == (spec.shape, spec.dtype, spec.layout)
        assert (one.scale, one.zero_point) == (spec.scale, spec.zero_point)
    assert not [one for one in found.warnings if "manifest" in one]


def test_a_layout_is_what_the_graph_does_with_its_input(source_of: Sources, tmp_path: Path) -> None:
    import litert_torch
    import torch

    network = source_of(3).network.eval()
    litert_torch.convert(network, (torch.zeros(1, 3, 16, 16),)).export(str(tmp_path / "plain.tflite"))
    found = inspect_model(tmp_path / "plain.tflite")
    assert (found.inputs[0].shape, found.inputs[0].layout) == ((1, 3, 16, 16), "nchw")
    assert found.recipe is None


def test_conversions_and_movements_are_counted(exported: Exports) -> None:
    bare, wrapped = (told(exported, one).movements for one in ("tflite_int8", "tflite_int8_float_io"))
    assert (bare.quantises, bare.dequantises) == (0, 0)
    assert (wrapped.quantises, wrapped.dequantises) == (1, 1)
    # The network flattens NCHW features: NHWC ones are turned round first.
    assert (bare.transposes, bare.reshapes) == (1, 1)
    for recipe in ("executorch_int8", "executorch_int8_qat"):
        moved = told(exported, recipe).movements
        assert (moved.quantises, moved.dequantises) == (1, 1)


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name.startswith("executorch")])
def test_a_program_s_kernels_and_delegates_are_those_that_executorch_reads(exported: Exports, recipe: str) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import KernelCall

    path = exported(recipe, 1).artifact.path
    (plan,) = deserialize_pte_binary(path.read_bytes()).program.execution_plan
    calls = [one.instr_args for one in plan.chains[0].instructions]
    kernels = [plan.operators[one.op_index] for one in calls if isinstance(one, KernelCall)]
    found = inspect_model(path)
    assert found.leftover == dict(Counter(f"{one.name}.{one.overload}" for one in kernels))
    assert [one.id for one in found.delegates] == [one.id for one in plan.delegates]
    inside = sum(one.operators or 0 for one in found.delegates)
    assert found.delegated_fraction == inside / (inside + len(kernels))
    assert (inside > 0) == (recipe != "executorch_portable")


def test_a_layer_s_bytes_are_those_of_its_weights(exported: Exports, source_of: Sources) -> None:
    layers = [one.weight.numel() + one.weight.shape[0] for one in source_of(1).network if hasattr(one, "stride")]
    for recipe, kind in (("tflite_fp32", "CONV_2D"), ("executorch_fp32", "XNNConv2d")):
        convolutions = [one.bytes for one in told(exported, recipe).operators if "CONV" in one.kind or one.kind == kind]
        depthwise = [one.bytes for one in told(exported, recipe).operators if one.kind == "XNNDepthwiseConv2d"]
        assert sorted(depthwise + convolutions) == sorted(4 * one for one in layers)


def test_a_backend_that_nobody_can_read_is_told_so(exported: Exports, tmp_path: Path) -> None:
    known = exported("executorch_fp32", 1).artifact.path.read_bytes()
    (tmp_path / "foreign.pte").write_bytes(known.replace(b"XnnpackBackend", b"MysteryBackend"))
    found = inspect_model(tmp_path / "foreign.pte")
    (delegate,) = found.delegates
    assert (delegate.id, delegate.operators, delegate.calls) == ("MysteryBackend", None, 1)
    # Nothing is left outside, so all is inside, whatever it is.
    assert (found.delegated_fraction, found.macs, found.parameters) == (1.0, 0, {})
    assert found.untold == ("what stands in MysteryBackend: its form is its own",)
    mixed = exported("executorch_fp16", 1).artifact.path.read_bytes()
    (tmp_path / "mixed.pte").write_bytes(mixed.replace(b"XnnpackBackend", b"MysteryBackend"))
    assert inspect_model(tmp_path / "mixed.pte").delegated_fraction is None


def test_an_inspection_is_json(exported: Exports) -> None:
    for recipe in ("tflite_int8", "executorch_int8"):
        found = told(exported, recipe)
        assert Inspection.model_validate_json(found.model_dump_json()) == found


def macs_of(network: nn.Module, shape: tuple[int, ...]) -> list[int]:
    """What each convolution and fully connected layer multiplies for one image, by PyTorch's own shapes."""
    import torch
    from torch import nn

    counted: list[int] = []

    def count(layer: nn.Module, _: object, result: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            height, width = layer.kernel_size
            counted.append(result.numel() * layer.in_channels // layer.groups * height * width)
        elif isinstance(layer, nn.Linear):
            counted.append(result.numel() * layer.in_features)

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    with torch.no_grad():
        network.eval()(torch.zeros(shape))
    for hook in hooks:
        hook.remove()
    return counted
