"""How much each layer suffers from int8, and a quantizer that leaves some layers float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.fx import Node
from torchao.quantization.pt2e.quantizer import Quantizer

from export.material import Material
from export.parity import rms
from export.recipes import find_recipe
from foundation.progress import SILENT, Progress
from victim.step import as_input

if TYPE_CHECKING:
    from export.exporting import Source

# Of the exported graph: what has weights to quantise.
_LAYERS = (
    torch.ops.aten.conv2d.default,
    torch.ops.aten.convolution.default,
    torch.ops.aten.linear.default,
)
# Unseen images on which each layer alone is judged.
_JUDGES = 128
_ANNOTATION = "quantization_annotation"


@dataclass(frozen=True)
class LayerSensitivity:
    """What quantising one layer alone (its weights and its input) does to the network.

    Attributes:
        layer: name of the module, as in `network.named_modules()`.
        rms: of the logits' error, relative to the standard deviation of the float logits.
        agreement: share of images with the float network's top-1 class.
    """

    layer: str
    rms: float
    agreement: float


class Choosing(Quantizer):  # type: ignore[misc]
    """Another quantizer, but for operations that shall stay float32.

    Args:
        inner: the runtime's own.
        kept: whether an operation of the graph is quantised as `inner` has it; told the layer that it belongs to, None
            where it is none.
    """

    def __init__(self, inner: Quantizer, kept: Callable[[str | None], bool]) -> None:
        super().__init__()
        self.inner, self.kept = inner, kept

    def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """See `torchao`'s `Quantizer`."""
        changed: torch.fx.GraphModule = self.inner.transform_for_annotation(model)
        return changed

    def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """See `torchao`'s `Quantizer`."""
        annotated: torch.fx.GraphModule = self.inner.annotate(model)
        for node in annotated.graph.nodes:
            if not self.kept(layer_of(node)):
                node.meta.pop(_ANNOTATION, None)
        return annotated

    def validate(self, model: torch.fx.GraphModule) -> None:
        """See `torchao`'s `Quantizer`."""
        self.inner.validate(model)


def layer_of(node: Node) -> str | None:
    """The convolution or fully connected layer that an operation is, by its module's name; None: it is neither."""
    if node.target not in _LAYERS:
        return None
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    name = str(stack[-1][0]) if stack else node.name
    # Exported again, a path begins with what it was exported as; litert-torch's wrapper for NHWC is one module more.
    return name.removeprefix("L['self'].").removeprefix("wrapped.")


def layers_of(network: nn.Module, sample: Tensor) -> list[str]:
    """Every layer that int8 could hurt, in the order they are computed.

    Args:
        network: in evaluation mode.
        sample: float32 [1, C, H, W].
    """
    graph = torch.export.export(network, (sample,)).module().graph
    return list(dict.fromkeys(name for node in graph.nodes if (name := layer_of(node)) is not None))


def sensitivities(
    network: nn.Module, material: Material, images: Tensor, progress: Progress = SILENT
) -> list[LayerSensitivity]:
    """Quantise each layer alone, by PT2E with XNNPACK's scheme, per channel, and look at the logits; the worst first.

    Args:
        network: float, in evaluation mode.
        material: with the images that set ranges.
        images: float32 [N, C, H, W], to be judged on.
        progress: where to show it.
    """
    with torch.no_grad():
        eager = network(images).numpy()
    names = layers_of(network, material.sample)
    found = []
    with progress.task("each layer in int8 alone", len(names)) as advance:
        for name in names:
            found.append(_sensitivity(name, network, material, images, eager))
            advance(1, f"{name}: {found[-1].rms:.4f}")
    return sorted(found, key=lambda one: -one.rms)


def layer_sensitivities(source: Source, calibration: int, progress: Progress = SILENT) -> list[LayerSensitivity]:
    """`sensitivities` of what is exported: its first `calibration` images set ranges, the first unseen ones judge."""
    material = Material.of(as_input(source.calibration[:calibration]), calibration)
    return sensitivities(source.traceable(), material, as_input(source.unseen[:_JUDGES]).contiguous(), progress)


def _sensitivity(
    name: str, network: nn.Module, material: Material, images: Tensor, eager: NDArray[np.float32]
) -> LayerSensitivity:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    from export.quantisation import quantise

    inner = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    alone = Choosing(inner, lambda layer: layer == name)
    graph, _ = quantise(network, alone, material, find_recipe("executorch_int8"), fold=True)
    with torch.no_grad():
        logits = torch.cat([graph(images[row : row + 1]) for row in range(len(images))]).numpy()
    agreement = float((logits.argmax(1) == eager.argmax(1)).mean())
    return LayerSensitivity(name, rms(logits - eager) / float(eager.std()), agreement)
