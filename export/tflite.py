"""Export to TFLite by litert-torch: NHWC in, as an app has its images; int8 models take and give int8, or floats."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import litert_torch
import torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch import Tensor, nn

from export.calibration import TensorRange, Written
from export.material import Material
from export.quantisation import quantise
from export.recipes import Recipe


def write(network: nn.Module, material: Material, recipe: Recipe, path: Path) -> Written:
    """Convert a network and write the `.tflite` file.

    Args:
        network: float32, takes [N, C, H, W] in [0, 1].
        material: images to trace, calibrate and fine-tune with.
        recipe: of this runtime.
        path: the file.

    Returns:
        the exported graph before conversion, without what ai-edge-quantizer does after it; and the ranges.
    """
    wrapped = litert_torch.to_channel_last_io(network, args=[0]).eval()
    nhwc = material.transformed(lambda images: images.permute(0, 2, 3, 1).contiguous())
    ranges: tuple[TensorRange, ...] = ()
    if recipe.method in ("pt2e", "qat"):
        graph, ranges = _static(wrapped, nhwc, recipe, path)
    else:
        graph = torch.export.export(wrapped, (nhwc.sample,)).module()
        converted = litert_torch.convert(wrapped, (nhwc.sample,))
        if recipe.method == "float":
            converted.export(str(path))
        else:
            ranges = _rewrite(converted, nhwc.calibration, recipe, path)
    return Written(lambda x: graph(x.permute(0, 2, 3, 1).contiguous()), ranges)


def _static(
    wrapped: nn.Module, nhwc: Material, recipe: Recipe, path: Path
) -> tuple[nn.Module, tuple[TensorRange, ...]]:
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=recipe.per_channel))
    graph, ranges = quantise(wrapped, quantizer, nhwc, recipe, fold=False)
    litert_torch.convert(graph, (nhwc.sample,), quant_config=QuantConfig(pt2e_quantizer=quantizer)).export(str(path))
    if recipe.float_io:
        from export.flatbuffer import with_float_io

        path.write_bytes(with_float_io(path.read_bytes()))
    return graph, ranges


def _rewrite(converted: Any, images: Tensor, recipe: Recipe, path: Path) -> tuple[TensorRange, ...]:
    """Quantise a float file as it stands."""
    from export.ai_edge import quantise_file

    with tempfile.TemporaryDirectory(prefix="edgecat-export-") as folder:
        base = Path(folder) / "float.tflite"
        converted.export(str(base))
        data, ranges = quantise_file(base, recipe, images.numpy())
    path.write_bytes(data)
    return ranges
