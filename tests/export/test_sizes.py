"""From 28 to 224 pixels, one channel and three: exported by both runtimes, and answered for on a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from edge.deployment import deploy
from edge.devices.opening import OpenDevice
from export.recipes import find_recipe
from foundation.answers import AnswerPolicy

if TYPE_CHECKING:
    from export.exporting import Source

pytestmark = [pytest.mark.export, pytest.mark.device, pytest.mark.timeout(180, func_only=True)]


def small(side: int, channels: int) -> nn.Module:
    """A layer that makes 16 x 16 images, which the small network takes, of larger ones."""
    if side == 224:
        return nn.AvgPool2d(14)
    # Only its middle weight counts: what is left is the image without its border.
    cut = nn.Conv2d(channels, channels, 13, groups=channels, bias=False)
    with torch.no_grad():
        cut.weight.zero_()
        cut.weight[:, :, 6, 6] = 1
    return cut


def large(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The same images with `side` pixels: enlarged, or with a border."""
    if side == 224:
        return images.repeat(14, axis=1).repeat(14, axis=2)
    return np.pad(images, ((0, 0), (6, 6), (6, 6), (0, 0)), constant_values=90)


@pytest.mark.parametrize(("side", "channels"), [(28, 3), (224, 1)])
def test_images_of_any_usual_size_pass_the_gate_and_are_answered_for_on_a_device(
    source_of: Callable[[int], Source], phone: OpenDevice, tmp_path: Path, side: int, channels: int
) -> None:
    from export.exporting import export

    plain = source_of(channels)
    source = replace(
        plain,
        network=nn.Sequential(small(side, channels), plain.network).eval(),
        image_shape=(side, side, channels),
        # As many as calibrate; hundreds of the large ones would take memory that nothing is learnt from.
        calibration=large(plain.calibration[:128], side),
        unseen=large(plain.unseen, side),
    )
    logits = {}
    for name in ("tflite_int8", "executorch_int8"):
        made = export(source, find_recipe(name), tmp_path)
        assert made.parity.ok, made.parity
        with deploy(phone, made.artifact, AnswerPolicy("logits")) as model:
            logits[name] = model.query(source.unseen[:20]).scores
        np.testing.assert_array_equal(logits[name], made.logits[:20])
    np.testing.assert_array_equal(logits["tflite_int8"], logits["executorch_int8"])
