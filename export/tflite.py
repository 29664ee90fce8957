"""Export to TFLite by litert-torch: NHWC in, as an app has its images; int8 models take and give int8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import litert_torch
import torch
from ai_edge_litert.interpreter import Interpreter
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch import Tensor, nn

from export.quantisation import quantise
from foundation.manifest import TensorSpec

LAYOUT = "nhwc"


def write(network: nn.Module, calibration: Tensor, quantised: bool, path: Path) -> Callable[[Tensor], Tensor]:
    """Convert a network and write the `.tflite` file.

    Args:
        network: float32, takes [N, C, H, W] in [0, 1].
        calibration: float32 [N, C, H, W] in [0, 1]; one image is enough for float.
        quantised: int8, or else float32.
        path: the file.

    Returns:
        the exported graph before conversion: float32 [1, C, H, W] to logits [1, classes].
    """
    wrapped = litert_torch.to_channel_last_io(network, args=[0]).eval()
    images = calibration.permute(0, 2, 3, 1).contiguous()
    sample = (images[:1],)
    if quantised:
        quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        graph = quantise(wrapped, quantizer, images, fold=False)
        converted = litert_torch.convert(graph, sample, quant_config=QuantConfig(pt2e_quantizer=quantizer))
    else:
        graph = torch.export.export(wrapped, sample).module()
        converted = litert_torch.convert(wrapped, sample)
    converted.export(str(path))
    return lambda x: graph(x.permute(0, 2, 3, 1).contiguous())


def tensor_specs(path: Path) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a `.tflite` file, as its runtime reads them."""
    interpreter = Interpreter(str(path))
    return (
        _tensor_spec(interpreter.get_input_details()[0], LAYOUT),
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
