"""Export to TFLite by litert-torch: NHWC in, as an app has its images; int8 models take and give int8, or floats."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import litert_torch
import torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch import Tensor, nn

from export.calibration import TensorRange, Written
from export.flatbuffer import with_float_io
from export.material import Material, Shared
from export.quantisation import quantise
from export.recipes import Recipe

_FLOAT = ("tflite", "float")


@dataclass(frozen=True)
class _Converted:
    """A `.tflite` file's content, the graph that it was made of, float32 [1, H, W, C] in, and the ranges."""

    data: bytes
    graph: Callable[[Tensor], Tensor]
    ranges: tuple[TensorRange, ...] = ()


def write(network: nn.Module, material: Material, recipe: Recipe, path: Path, shared: Shared) -> Written:
    """Convert a network and write the `.tflite` file.

    Args:
        network: float32, takes [N, C, H, W] in [0, 1].
        material: images to trace, calibrate and fine-tune with.
        recipe: of this runtime.
        path: the file.
        shared: by recipes of the same network and images: conversions that only differ in what comes after them.

    Returns:
        the exported graph before conversion, without what ai-edge-quantizer does after it; and the ranges.
    """
    wrapped, nhwc = _channels_last(network, material)
    if recipe.method in ("pt2e", "qat"):
        key = (recipe.runtime, recipe.method, recipe.per_channel, recipe.epochs, recipe.calibration_images)
        made = shared.once(key, lambda: _static(wrapped, nhwc, recipe))
        path.write_bytes(with_float_io(made.data) if recipe.float_io else made.data)
        return Written(made.graph, made.ranges)
    base = shared.once(_FLOAT, lambda: _float(wrapped, nhwc.sample))
    data, ranges = base.data, base.ranges
    if recipe.method != "float":
        data, ranges = _rewritten(base.data, nhwc.calibration, recipe)
    path.write_bytes(data)
    return Written(base.graph, ranges)


def float_file(network: nn.Module, material: Material, shared: Shared) -> bytes:
    """The float32 `.tflite` file of a network, as `write` makes it."""
    wrapped, nhwc = _channels_last(network, material)
    return shared.once(_FLOAT, lambda: _float(wrapped, nhwc.sample)).data


def _channels_last(network: nn.Module, material: Material) -> tuple[nn.Module, Material]:
    wrapped = litert_torch.to_channel_last_io(network, args=[0]).eval()
    return wrapped, material.transformed(lambda images: images.permute(0, 2, 3, 1).contiguous())


def _float(wrapped: nn.Module, sample: Tensor) -> _Converted:
    graph = torch.export.export(wrapped, (sample,)).module()
    return _Converted(_content(litert_torch.convert(wrapped, (sample,))), _of_nchw(graph))


def _static(wrapped: nn.Module, nhwc: Material, recipe: Recipe) -> _Converted:
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=recipe.per_channel))
    graph, ranges = quantise(wrapped, quantizer, nhwc, recipe, fold=False)
    made = litert_torch.convert(graph, (nhwc.sample,), quant_config=QuantConfig(pt2e_quantizer=quantizer))
    return _Converted(_content(made), _of_nchw(graph), ranges)


def _rewritten(data: bytes, images: Tensor, recipe: Recipe) -> tuple[bytes, tuple[TensorRange, ...]]:
    """Quantise a float file as it stands."""
    from export.ai_edge import quantise_file

    with tempfile.TemporaryDirectory(prefix="edgecat-export-") as folder:
        base = Path(folder) / "float.tflite"
        base.write_bytes(data)
        return quantise_file(base, recipe, images.numpy())


def _of_nchw(graph: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: graph(x.permute(0, 2, 3, 1).contiguous())


def _content(converted: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edgecat-export-") as folder:
        path = Path(folder) / "model.tflite"
        converted.export(str(path))
        return path.read_bytes()
