"""Export to ExecuTorch for the XNNPACK delegate: float32 NCHW in and out; int8 inside where quantised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from executorch.exir import to_edge_transform_and_lower
from torch import Tensor, nn

from export.quantisation import quantise
from foundation.manifest import TensorSpec

LAYOUT: Literal["nchw"] = "nchw"


def write(network: nn.Module, calibration: Tensor, quantised: bool, path: Path) -> Callable[[Tensor], Tensor]:
    """Lower a network and write the `.pte` file; see `export.tflite.write`."""
    sample = (calibration[:1],)
    graph = network
    if quantised:
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        graph = quantise(network, quantizer, calibration, fold=True)
    program = torch.export.export(graph, sample)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    path.write_bytes(lowered.buffer)
    exported: Callable[[Tensor], Tensor] = program.module()
    return exported


def tensor_specs(shape: tuple[int, int, int], classes: int) -> tuple[TensorSpec, TensorSpec]:
    """Input and output of a `.pte` file of ours: float32 on the outside, whatever is inside."""
    height, width, channels = shape
    image = TensorSpec(shape=(1, channels, height, width), dtype="float32", layout=LAYOUT)
    return image, TensorSpec(shape=(1, classes), dtype="float32", layout="nc")
