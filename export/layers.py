"""Layer by layer: where an exported model parts from its network, or one runtime from another.

A top-1 agreement says that a file is wrong, not why. Here the same images go through both, and what each layer gives is
held against what it should.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.runner import legacy
from export import tensor_dump
from export.parity import rms
from foundation.errors import ArtifactError, first_line

_Values = NDArray[np.float32]
# Operators that compute; the others move values or store them otherwise, and files differ in them.
_MOVING = {"QUANTIZE", "DEQUANTIZE", "PAD", "PADV2", "RESHAPE", "TRANSPOSE", "DELEGATE"}
_SECONDS = 300
# Enough to see a layer that is off.
LAYER_IMAGES = 8


@dataclass(frozen=True)
class LayerError:
    """How far one layer's output is from what it should be.

    Attributes:
        layer: by its module's name where that is known, else by operator and number.
        relative_rms: root mean square of the difference, over the standard deviation of what it should be; None where
            the runtime has put something else there since.
        parts: whether that is above the bound.
    """

    layer: str
    relative_rms: float | None
    parts: bool


@dataclass(frozen=True)
class _Operator:
    operator: str
    tensor: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    gave: _Values


def between_runtimes(data: bytes, images: _Values, bound: float) -> list[LayerError]:
    """One `.tflite` file in LiteRT and in tflite-runtime 2.14, operator by operator.

    Args:
        data: the file's content.
        images: float32 [N, H, W, C], as the float network takes them.
        bound: relative rms above which a layer parts.

    Raises:
        ArtifactError: a runtime refuses the file.
        UsageError: tflite-runtime is not set up.
    """
    return _compared(_operators(data, images), _operators(data, images, legacy.packages()), bound)


def of_file(data: bytes, reference: bytes, images: _Values, bound: float) -> list[LayerError]:
    """A `.tflite` file against the float32 file of the same network, in LiteRT; the arguments as above.

    Returns:
        nothing where the two files do not compute the same layers in the same order.
    """
    return _compared(_operators(reference, images), _operators(data, images), bound)


def of_graph(graph: nn.Module, network: nn.Module, images: Tensor, bound: float) -> list[LayerError]:
    """An exported graph (quantised or not) against its network, by the outputs of the leaf modules that both have.

    A convolution that has taken its batch norm into it gives what the batch norm gave, so convolutions are left out
    where the graph has no batch norm and the network does.

    Args:
        graph: of `torch.export`, takes one image.
        network: eager, in evaluation mode.
        images: float32 [N, C, H, W].
        bound: see above.
    """
    wanted = _module_outputs(network, images)
    found = _graph_outputs(graph, images) if isinstance(graph, torch.fx.GraphModule) else {}
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    folded = bool(norms) and not norms & found.keys()
    skipped = {name for name, module in network.named_modules() if folded and isinstance(module, nn.Conv2d)}
    errors = []
    for name in (name for name in found if name in wanted and name not in skipped):
        error = _relative_rms(found[name], wanted[name])
        errors.append(LayerError(name, error, not error <= bound))
    return errors


def _compared(wanted: Sequence[_Operator], found: Sequence[_Operator], bound: float) -> list[LayerError]:
    ours, theirs = ([one for one in ops if one.operator not in _MOVING] for ops in (wanted, found))
    if [one.operator for one in ours] != [one.operator for one in theirs]:
        return []
    off = [_relative_rms(b.gave, a.gave) for a, b in zip(ours, theirs, strict=True)]
    wrong = {place for place, error in enumerate(off) if not error <= bound}
    errors = []
    for place, one in enumerate(ours):
        overwritten = place in wrong and not _goes_on(place, wrong, found, theirs)
        error = None if overwritten else off[place]
        errors.append(LayerError(_layer(one, place), error, place in wrong and not overwritten))
    return errors


def _goes_on(place: int, wrong: set[int], every: Sequence[_Operator], computing: Sequence[_Operator]) -> bool:
    """Whether an error is seen in what is computed next.

    Older runtimes put a sum where one of its terms was: such a term looks wrong afterwards, and was right.
    """
    reached = set(computing[place].outputs)
    number = {id(one): at for at, one in enumerate(computing)}
    next_ones = []
    for one in every[every.index(computing[place]) + 1 :]:
        if reached & set(one.inputs):
            if id(one) in number:
                next_ones.append(number[id(one)])
            else:
                reached |= set(one.outputs)
    return not next_ones or any(at in wrong for at in next_ones)


def _layer(operator: _Operator, place: int) -> str:
    """The module that an operator comes from, as litert-torch names its output; else the operator and its number."""
    made = operator.tensor.split(";;")[-1]
    path = re.search(r"_wrapped/([^;]*)", made)
    if path is None:
        return f"{operator.operator} {place}"
    return ".".join(step.rpartition("_")[2] for step in path[1].split("/"))


def _operators(data: bytes, images: _Values, packages: Path | None = None) -> list[_Operator]:
    """Everything that the file's operators give, by LiteRT or by tflite-runtime in `packages`."""
    with tempfile.TemporaryDirectory(prefix="edgecat-layers-") as folder:
        model, given, out = (Path(folder) / name for name in ("model.tflite", "images.npy", "out.npz"))
        model.write_bytes(data)
        np.save(given, images)
        words = [sys.executable, "-I", tensor_dump.__file__, *map(str, (model, given, out))]
        done = subprocess.run(
            words + ([] if packages is None else [str(packages)]),
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ArtifactError(f"the runtime does not tell this file's layers: {first_line(ValueError(reason))}")
        with np.load(out) as told:
            return [
                _Operator(one["operator"], one["tensor"], tuple(one["inputs"]), tuple(one["outputs"]), told[str(place)])
                for place, one in enumerate(json.loads(str(told["operators"])))
            ]


def _module_outputs(network: nn.Module, images: Tensor) -> dict[str, _Values]:
    """What each leaf module gives, of those that give one tensor."""
    gave: dict[str, _Values] = {}
    hooks = []
    for name, module in network.named_modules():
        if any(True for _ in module.children()):
            continue

        def keep(_: nn.Module, __: object, output: object, name: str = name) -> None:
            if isinstance(output, Tensor):
                gave[name] = output.numpy()

        hooks.append(module.register_forward_hook(keep))
    try:
        with torch.no_grad():
            network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return gave


def _graph_outputs(graph: torch.fx.GraphModule, images: Tensor) -> dict[str, _Values]:
    """The last tensor that each module's part of a graph gives, by the module's name, in the order of computing."""
    last: dict[str, str] = {}
    for node in graph.graph.nodes:
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        if node.op == "call_function" and stack:
            name = _module_name(str(stack[-1][0]))
            last.pop(name, None)
            last[name] = node.name
    rows = [_NodeValues(graph, set(last.values())).of(images[row : row + 1]) for row in range(len(images))]
    return {name: np.concatenate([row[node] for row in rows]) for name, node in last.items() if node in rows[0]}


def _module_name(path: str) -> str:
    # Exported again, a path begins with what it was exported as; a network in half precision is one module more.
    return path.removeprefix("L['self'].").removeprefix("network.")


class _NodeValues(torch.fx.Interpreter):
    """Runs a graph and keeps what some of its nodes give."""

    def __init__(self, graph: torch.fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(graph)
        self.wanted = wanted
        self.kept: dict[str, _Values] = {}

    def of(self, image: Tensor) -> Mapping[str, _Values]:
        with torch.no_grad():
            self.run(image)
        return self.kept

    def run_node(self, n: torch.fx.Node) -> object:
        value = super().run_node(n)
        if n.name in self.wanted and isinstance(value, Tensor):
            self.kept[n.name] = value.float().numpy()
        return value


def _relative_rms(found: _Values, wanted: _Values) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return rms(found - wanted) / max(float(wanted.std()), 1e-12)
