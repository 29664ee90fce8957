"""What ai-edge-quantizer makes of a float32 `.tflite` file: weights of 16 or 8 bits, static and dynamic int8, 16x8."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils
from numpy.typing import NDArray

from export.calibration import TensorRange
from export.flatbuffer import read_model
from export.recipes import Recipe
from foundation.errors import UsageError

_OPERATION = qtyping.TFLOperationName


def quantise_file(base: Path, how: Recipe, images: NDArray[np.float32]) -> tuple[bytes, tuple[TensorRange, ...]]:
    """Quantise a file.

    Args:
        base: float32.
        how: a recipe of method `half`, `weights`, `dynamic` or `aeq`.
        images: float32 [N, H, W, C], which set the ranges of activations (`aeq`).

    Returns:
        the new file's content, and the ranges.
    """
    if how.method == "aeq":
        made, found = _static(base, how, images)
        # Of constants it keeps the range of each channel.
        ranges = [(name, kept["min"], kept["max"]) for name, kept in found.items() if np.size(kept["min"]) == 1]
    else:
        made, ranges = _MAKERS[how.method](base), []
    told = (
        TensorRange(name=name, low=np.min(low), high=np.max(high), scale=None, zero_point=None)
        for name, low, high in ranges
    )
    return bytes(made.quantized_model), tuple(told)


def _half(base: Path) -> Any:
    own = quantizer.Quantizer(str(base))
    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    own.update_quantization_recipe(
        regex=".*",
        operation_name=_OPERATION.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key="float_casting",
    )
    return own.quantize()


def _weights(base: Path) -> Any:
    return quantizer.Quantizer(str(base), recipe.weight_only_wi8_afp32()).quantize()


def _dynamic(base: Path) -> Any:
    """Fully connected layers with one scale for all channels, convolutions with one for each.

    With a scale for each channel of a fully connected layer runtimes of 2.14 answer nonsense without a word; with one
    for a whole convolution all of them do.
    """
    own = quantizer.Quantizer(str(base), recipe.dynamic_wi8_afp32())
    weights = qtyping.TensorQuantizationConfig(
        num_bits=8, symmetric=True, granularity=qtyping.QuantGranularity.TENSORWISE
    )
    own.update_quantization_recipe(
        regex=".*",
        operation_name=_OPERATION.FULLY_CONNECTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.INTEGER
        ),
        algorithm_key="min_max_uniform_quantize",
    )
    return own.quantize()


def _static(base: Path, how: Recipe, images: NDArray[np.float32]) -> tuple[Any, dict[str, Any]]:
    make = recipe.static_wi8_ai16 if how.precision == "int16x8" else recipe.static_wi8_ai8
    own = quantizer.Quantizer(str(base), make())
    if how.float_io:
        for operation in (_OPERATION.INPUT, _OPERATION.OUTPUT):
            own.update_quantization_recipe(regex=".*", operation_name=operation, algorithm_key="no_quantize")
    for output in _spared(base.read_bytes(), how.float_layers):
        own.update_quantization_recipe(
            regex=f"^{re.escape(output)}", operation_name=_OPERATION.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
    # Its default, a moving average of each image's range, cuts logits off; the function can be given here alone.
    ranges = calibrator.Calibrator(base.read_bytes(), qsv_update_func=qsv_utils.min_max_update)
    (signature, tensors), *_ = Interpreter(str(base)).get_signature_list().items()
    samples = [{tensors["inputs"][0]: image[None]} for image in images]
    ranges.calibrate({signature: samples}, own._recipe_manager)
    found: dict[str, Any] = ranges.get_model_qsvs()
    return own.quantize(found), found


def _spared(data: bytes, layers: tuple[str, ...]) -> list[str]:
    """What the operators that stay float are called by: the names of their outputs.

    litert-torch names an output by the modules that it came from, but for the file's own output.

    Raises:
        UsageError: no operator is that layer, or no one.
    """
    if not layers:
        return []
    outputs = _outputs(data)
    nameless = [output for output in outputs if not _IS_LAYER.search(output)]
    found, missing = [], []
    for layer in layers:
        steps = "/".join(rf"[^/;]*_{re.escape(step)}" for step in layer.split("."))
        match = next((output for output in outputs if re.search(rf"_wrapped/{steps};", output)), None)
        found.append(match) if match is not None else missing.append(layer)
    if missing and not (len(missing) == len(nameless) == 1):
        raise UsageError(
            f"the file has no operator for layer {', '.join(missing)}", hint="--sensitivity names them all"
        )
    return [*found, *(nameless if missing else [])]


def _outputs(data: bytes) -> list[str]:
    """Names of what convolutions and fully connected layers give."""
    model = read_model(data)
    (graph,) = model.subgraphs
    return [
        graph.tensors[operator.outputs[0]].name.decode()
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in _LAYER_CODES
    ]


_IS_LAYER = re.compile(r"modules\.(conv|linear)\.")
_LAYER_CODES = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)
_MAKERS = {"half": _half, "weights": _weights, "dynamic": _dynamic}
