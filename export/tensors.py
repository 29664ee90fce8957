"""Tensors of a `.tflite` file, without the exporter that may have made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from foundation.manifest import TensorSpec


def tensor_specs(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input (NHWC, as ours are) and output of a `.tflite` file with one of each, as its runtime reads them."""
    interpreter = Interpreter(str(path))
    return (
        _tensor_spec(interpreter.get_input_details()[0], "nhwc"),
        _tensor_spec(interpreter.get_output_details()[0], "nc"),
    )


def _tensor_spec(detail: dict[str, Any], layout: str) -> TensorSpec:
    scale, zero_point = detail["quantization"]
    return TensorSpec.model_validate(
        {
            "shape": tuple(int(n) for n in detail["shape"]),
            "dtype": detail["dtype"].__name__,
            "layout": layout,
            # The runtime says scale 0 where a tensor is not quantised.
            "scale": float(scale) or None,
            "zero_point": int(zero_point) if scale else None,
        }
    )
