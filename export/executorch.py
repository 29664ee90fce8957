"""Export to ExecuTorch: float32 NCHW in and out, whatever is inside; by XNNPACK, or by portable kernels."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn

from export.calibration import TensorRange, Written
from export.material import Material
from export.quantisation import quantise
from export.recipes import Recipe
from foundation.manifest import TensorSpec

LAYOUT: Literal["nchw"] = "nchw"


def write(network: nn.Module, material: Material, recipe: Recipe, path: Path) -> Written:
    """Lower a network and write the `.pte` file; see `export.tflite.write`."""
    graph, ranges = _graph(network, material, recipe)
    program = torch.export.export(graph, (material.sample,))
    partitioner = [XnnpackPartitioner()] if recipe.delegated else []
    lowered = to_edge_transform_and_lower(program, partitioner=partitioner).to_executorch()
    path.write_bytes(lowered.buffer)
    return Written(program.module(), ranges)


def _graph(network: nn.Module, material: Material, recipe: Recipe) -> tuple[nn.Module, tuple[TensorRange, ...]]:
    if recipe.method == "float":
        return network, ()
    if recipe.method == "half":
        return _Half(network).eval(), ()
    dynamic = recipe.method == "dynamic"
    config = get_symmetric_quantization_config(is_per_channel=recipe.per_channel, is_dynamic=dynamic)
    return quantise(network, XNNPACKQuantizer().set_global(config), material, recipe, fold=True)


class _Half(nn.Module):
    """A network in half precision between float32 images and float32 logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x.half()).float()
        return logits


def tensor_specs(shape: tuple[int, int, int], classes: int) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a `.pte` file of ours: float32 on the outside, whatever is inside."""
    height, width, channels = shape
    image = TensorSpec(shape=(1, channels, height, width), dtype="float32", layout=LAYOUT)
    return image, TensorSpec(shape=(1, classes), dtype="float32", layout="nc")
