"""Our files beside those of each runtime's own documented road: latency in the same runtime, in turns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import Tensor, nn

from benchmarks.latency_peers import median_us
from benchmarks.proof import Check, at_most
from edge.runner.engines import Engine, load_engine
from export.recipes import find_recipe
from foundation.manifest import load_artifact
from victim.checkpoint import load as load_checkpoint
from victim.dataset import Dataset
from victim.step import as_input

Raw = dict[str, JsonValue]

OURS = ("tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8")
ROUNDS, RUNS, WARM = 15, 200, 50
CALIBRATION = 128


def measure(dataset: Dataset, checkpoint: Path, files: Path, quick: bool) -> Raw:
    """Medians of an inference by rounds, microseconds, ours and theirs in turns, one thread, Python bindings.

    Args:
        dataset: whose training images calibrate.
        checkpoint: the victim.
        files: directory with ours.
        quick: fewer rounds, and two files.
    """
    network = load_checkpoint(checkpoint).network.to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]
    images = as_input(dataset.train.images[:CALIBRATION]).clone(memory_format=torch.contiguous_format)
    found: Raw = {}
    for name in ("tflite_int8", "executorch_int8") if quick else OURS:
        runtime, precision = name.split("_")
        ours = load_engine(runtime, load_artifact(files / find_recipe(name).file_name).path.read_bytes(), 1)
        theirs = load_engine(runtime, _ROADS[runtime](network, images, precision == "int8"), 1)
        found[name] = _beside(ours, theirs, 3 if quick else ROUNDS)
    return found


def checks(raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """The bound on each; a quick run stands for none of them."""
    found = raw or {}
    return [
        at_most(
            f"{name}: latency over that of the runtime's own road",
            found[name]["ratio"] if name in found and not quick else None,
            1.05,
        )
        for name in OURS
    ]


def _beside(ours: Engine, theirs: Engine, rounds: int) -> JsonValue:
    microseconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, engine in (("ours", ours), ("theirs", theirs)):
            image = np.zeros(engine.input.shape, engine.input.dtype)
            microseconds[name].append(median_us(partial(engine.run, image), WARM, RUNS))
    ratio = median(a / b for a, b in zip(microseconds["ours"], microseconds["theirs"], strict=True))
    return {"ours_us": [*microseconds["ours"]], "theirs_us": [*microseconds["theirs"]], "ratio": ratio}


def _litert(network: nn.Module, images: Tensor, quantised: bool) -> bytes:
    """litert-torch's README and its page on PT2E quantisation: `convert` of the network as it is, channels first."""
    import tempfile

    import litert_torch
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    sample = (images[:1],)
    if quantised:
        quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(torch.export.export(network, sample).module(), quantizer)
        _run(prepared, images)
        graph = convert_pt2e(prepared, fold_quantize=False)
        made = litert_torch.convert(graph, sample, quant_config=QuantConfig(pt2e_quantizer=quantizer))
    else:
        made = litert_torch.convert(network, sample)
    with tempfile.TemporaryDirectory(prefix="edgecat-road-") as folder:
        path = Path(folder) / "theirs.tflite"
        made.export(str(path))
        return path.read_bytes()


def _executorch(network: nn.Module, images: Tensor, quantised: bool) -> bytes:
    """ExecuTorch's README and its page on XNNPACK: export, lower for the delegate, write."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    sample = (images[:1],)
    graph: Any = network
    if quantised:
        quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(torch.export.export(network, sample).module(), quantizer)
        _run(prepared, images)
        graph = convert_pt2e(prepared)
    program = torch.export.export(graph, sample)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    return bytes(lowered.buffer)


def _run(prepared: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        for row in range(len(images)):
            prepared(images[row : row + 1])


_ROADS: dict[str, Callable[[nn.Module, Tensor, bool], bytes]] = {"tflite": _litert, "executorch": _executorch}
