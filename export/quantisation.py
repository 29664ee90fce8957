"""PyTorch 2 Export int8: the same flow for both runtimes, so that their answers can be equal to the bit."""

from __future__ import annotations

import torch
from torch import nn
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase
from torchao.quantization.pt2e.observer import MinMaxObserver, ObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import Quantizer

from export.calibration import TensorRange, observe, observed_ranges
from export.material import Material
from export.recipes import Recipe
from foundation.errors import DataError, UsageError


def quantise(
    network: nn.Module, quantizer: Quantizer, material: Material, recipe: Recipe, *, fold: bool
) -> tuple[nn.Module, tuple[TensorRange, ...]]:
    """Quantise by running the calibration images through the network once.

    Args:
        network: float, in evaluation mode, exportable with one image.
        quantizer: the runtime's own.
        material: in the network's layout.
        recipe: static, or of method `dynamic`, which has no ranges to set.
        fold: whether weights are stored quantised now (ExecuTorch) or by the converter (LiteRT).

    Returns:
        the quantised graph, which takes one image at a time, and the ranges that calibration set.

    Raises:
        DataError: no calibration images where the recipe wants them.
    """
    static = recipe.method != "dynamic"
    if static and not len(material.calibration):
        raise DataError("no calibration images", hint="int8 needs some training images to set its ranges")
    graph = torch.export.export(network, (material.sample,)).module()
    prepared = prepare_pt2e(graph, sparing(quantizer, graph, recipe))
    observe(prepared, material.calibration if static else material.sample, material.state if static else None)
    ranges: tuple[TensorRange, ...] = ()
    if static:
        fix_input_range(prepared)
        ranges = tuple(observed_ranges(prepared))
    return convert_pt2e(prepared, fold_quantize=fold), ranges


def sparing(quantizer: Quantizer, graph: torch.fx.GraphModule, recipe: Recipe) -> Quantizer:
    """A quantizer that leaves a recipe's float layers alone.

    Raises:
        UsageError: the network has no such layer.
    """
    if not recipe.float_layers:
        return quantizer
    from export.sensitivity import Choosing, layer_of

    known = {layer_of(node) for node in graph.graph.nodes}
    if missing := set(recipe.float_layers) - known:
        layers = ", ".join(sorted(name for name in known if name))
        raise UsageError(f"the network has no layer {', '.join(sorted(missing))}", hint=f"it has {layers}")
    return Choosing(quantizer, lambda layer: layer not in recipe.float_layers)


def fix_input_range(prepared: torch.fx.GraphModule) -> None:
    """Quantise the input by the full range of a pixel, whatever the calibration images span.

    Scale 1/255 and zero point -128 map pixel p to p - 128: nothing is lost between the app's image and the model.
    """
    waiting = [next(node for node in prepared.graph.nodes if node.op == "placeholder")]
    while waiting:
        for user in waiting.pop().users:
            if user.op == "call_function":
                # A change of layout between the image and its observer (NHWC models).
                if user.target is torch.ops.aten.permute.default:
                    waiting.append(user)
            elif isinstance(prepared.get_submodule(str(user.target)), ObserverBase | FakeQuantizeBase):
                setattr(prepared, str(user.target), _pixel_observer())


def _pixel_observer() -> MinMaxObserver:
    fixed = MinMaxObserver(dtype=torch.int8, qscheme=torch.per_tensor_affine, quant_min=-128, quant_max=127)
    fixed(torch.tensor([0.0, 1.0]))
    return fixed
