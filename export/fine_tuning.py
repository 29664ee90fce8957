"""Fine-tuning with int8 in the loop, before a network is quantised as any other."""

from __future__ import annotations

import copy
import math

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config
from torch import Tensor, nn
from torch.nn import functional
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

from export.quantisation import fix_input_range
from foundation.errors import DataError

# A pass over so many images takes seconds on one core. Larger steps than these moved the weights of a victim that int8
# hardly hurts further from its float self (rms of its logits 0.048 of their spread at 1e-4, 0.030 at 1e-5).
_MOST_IMAGES = 1_024
_BATCH = 32
_RATE = 1e-5


def fine_tune(network: nn.Module, images: Tensor, epochs: int, *, per_channel: bool) -> nn.Module:
    """A float network whose weights have met int8's rounding (Jacob et al. 2018, arXiv 1712.05877, section 3).

    The network as it was is the teacher: its copy, with rounding simulated, learns to give its logits (mean squared
    error), so no label is needed. Statistics of batch norm stay as they were learnt. For both runtimes the rounding is
    XNNPACK's: litert-torch 0.10's own quantizer for training does not go with torchao 0.18.

    Args:
        network: in evaluation mode; left as it is.
        images: float32 [N, C, H, W] in [0, 1], of the training split; the first 1,024 are learnt from.
        epochs: passes over them.
        per_channel: see `export.recipes.Recipe`.

    Returns:
        a float network of the same architecture, in evaluation mode, to be quantised.

    Raises:
        DataError: fewer than 2 images.
    """
    if len(images) < 2:
        raise DataError(f"fine-tuning with {len(images)} images", hint="int8_qat learns from training images")
    images = images[:_MOST_IMAGES]
    with torch.no_grad():
        wanted = torch.cat([network(part) for part in torch.split(images, _BATCH)])
    tuned = copy.deepcopy(network)
    batch = ({0: torch.export.Dim("batch", min=1, max=4 * _BATCH)},)
    graph = torch.export.export(copy.deepcopy(network).train(), (images[:2],), dynamic_shapes=batch).module()
    config = get_symmetric_quantization_config(is_per_channel=per_channel, is_qat=True)
    student = prepare_qat_pt2e(graph, XNNPACKQuantizer().set_global(config))
    fix_input_range(student)
    _learn(student, images, wanted, epochs)
    learnt = dict(student.named_parameters())
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            parameter.copy_(learnt[name])
    return tuned.eval()


def _learn(student: nn.Module, images: Tensor, wanted: Tensor, epochs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    move_exported_model_to_eval(student)
    with torch.no_grad():
        # Ranges first: a step before there are any would be a step in noise.
        for part in torch.split(images[: 4 * _BATCH], _BATCH):
            student(part)
    optimizer = torch.optim.Adam(student.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * math.ceil(len(images) / _BATCH))
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(len(images), generator=generator), _BATCH):
            loss = functional.mse_loss(student(images[rows]), wanted[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
