"""The oldest runtime, and what it would compute wrongly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from export.inspection import inspect_model
from export.inspection.runtimes import newest, since
from export.inspection.versions import needed_version

if TYPE_CHECKING:
    from export.exporting import Exported

Exports = Callable[[str, int], "Exported"]


def test_releases_are_numbers_not_words() -> None:
    assert newest(["1.14", "2.9", "2.14", "1.13.1"]) == "2.14"
    assert newest(["1.13.1", "1.13"]) == "1.13.1"


def test_what_is_not_in_the_table_is_unknown_and_makes_the_whole_unknown() -> None:
    assert since("CONV_2D", 5) == "2.4"
    # Measured: tflite-runtime 2.14 refuses this one by its version.
    assert since("FULLY_CONNECTED", 12) == "2.17"
    assert {since("CONV_2D", version) for version in (0, -1, 99)} == {since("CUSTOM:mine", 1)} == {"unknown"}
    assert newest(["2.4", "unknown"]) == newest([]) == "unknown"


def test_dtypes_ask_for_versions() -> None:
    assert needed_version("FULLY_CONNECTED", ["float32", "int8"], per_channel=True) == 12
    assert needed_version("FULLY_CONNECTED", ["float32", "int8"], per_channel=False) == 3
    assert needed_version("MEAN", ["int16", "int32"], per_channel=False) == 3
    assert needed_version("CONV_2D", ["float32", "float32"], per_channel=False) == 1
    assert needed_version("SHAPE", [], per_channel=False) == 1


@pytest.mark.export
def test_static_int8_runs_on_old_runtimes_and_says_so(exported: Exports) -> None:
    for recipe in ("tflite_fp32", "tflite_int8"):
        found = inspect_model(exported(recipe, 1).artifact.path)
        assert (found.oldest_runtime, found.warnings) == ("2.0", ())
    assert inspect_model(exported("executorch_int8", 1).artifact.path).oldest_runtime is None


@pytest.mark.export
def test_dynamic_int8_with_scales_for_channels_of_a_fully_connected_layer_is_warned_of(
    exported: Exports, tmp_path: Path
) -> None:
    from ai_edge_quantizer import quantizer, recipe

    made = quantizer.Quantizer(str(exported("tflite_fp32", 1).artifact.path), recipe.dynamic_wi8_afp32())
    path = tmp_path / "dynamic.tflite"
    made.quantize().export_model(str(path), overwrite=True)
    found = inspect_model(path)
    assert [one for one in found.warnings if "4 scales: tflite-runtime 2.14 answers nonsense" in one]
    # Its version is one that 2.14 takes; its dtypes ask for one that it does not know.
    (layer,) = (one for one in found.operators if one.kind == "FULLY_CONNECTED")
    assert since("FULLY_CONNECTED", layer.version or 0) < "2.14"
    assert found.oldest_runtime == "2.17"
    ours = inspect_model(exported("tflite_int8_dynamic", 1).artifact.path)
    assert not [one for one in ours.warnings if "nonsense" in one]


@pytest.mark.export
def test_one_scale_for_a_convolution_with_float_activations_is_warned_of(exported: Exports, tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    from export.flatbuffer import read_model, write_model

    model = read_model(exported("tflite_int8_dynamic", 1).artifact.path.read_bytes())
    (graph,) = model.subgraphs
    for tensor in graph.tensors:
        if tensor.type == schema.TensorType.INT8 and len(tensor.shape) == 4:
            tensor.quantization.scale, tensor.quantization.zeroPoint = tensor.quantization.scale[:1], [0]
    (tmp_path / "coarse.tflite").write_bytes(write_model(model))
    found = inspect_model(tmp_path / "coarse.tflite")
    convolutions = [one for one in found.operators if one.kind == "CONV_2D"]
    # A convolution of one channel is a depthwise one to TFLite.
    assert len(convolutions) == 1
    warned = [one for one in found.warnings if "one scale for 8 channels: LiteRT 2.3 answers nonsense" in one]
    assert len(warned) == len(convolutions)


@pytest.mark.export
def test_an_operator_that_nobody_knows_makes_the_runtime_unknown(exported: Exports, tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    from export.flatbuffer import read_model, write_model

    model = read_model(exported("tflite_fp32", 1).artifact.path.read_bytes())
    code = model.operatorCodes[model.subgraphs[0].operators[-1].opcodeIndex]
    assert code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"mine\x1b[31m"
    (tmp_path / "custom.tflite").write_bytes(write_model(model))
    found = inspect_model(tmp_path / "custom.tflite")
    # A terminal is not told what to do by a file.
    assert found.operators[-1].kind == "CUSTOM:mine\N{REPLACEMENT CHARACTER}[31m"
    assert (found.operators[-1].macs, found.oldest_runtime) == (None, "unknown")
    assert [one for one in found.untold if "MACs" in one]
    assert [one for one in found.untold if "oldest runtime" in one]
