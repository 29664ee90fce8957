"""Networks that turn smashed data back into images: the attacker's, and a protection's sparring partner."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, int, int]

_MOST_INPUTS = 1 << 15
_LARGEST_SIDE = 64


class ConvolutionalDecoder(nn.Module):
    """Two convolutions at the size of the smashed data, then one after each doubling, up to the image's size.

    Args:
        z_shape: channels, height, width of the smashed data.
        mean: float32 [C, H, W] in [0, 1], the image to start from: what is known without any smashed data.
        width: channels of the first layers; halved at every doubling from 16 pixels on, to no fewer than 16.
    """

    start: Tensor

    def __init__(self, z_shape: Shape, mean: Tensor, width: int = 48) -> None:
        super().__init__()
        channels, size, _ = z_shape
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.1),
        ]
        for _ in range(max(0, math.ceil(math.log2(mean.shape[1] / size)))):
            narrower = max(16, width // 2) if size >= 16 else width
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, narrower, 3, padding=1)]
            layers += [nn.BatchNorm2d(narrower), nn.LeakyReLU(0.1)]
            width, size = narrower, size * 2
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, mean.shape[0], 3, padding=1))
        self.register_buffer("start", _logit(mean))

    def forward(self, z: Tensor) -> Tensor:
        """Images float32 [B, C, H, W] in [0, 1] of smashed data [B, C', H', W']."""
        change = self.layers(z)
        if change.shape[2:] != self.start.shape[1:]:
            change = functional.interpolate(change, list(self.start.shape[1:]), mode="bilinear", align_corners=False)
        return torch.sigmoid(change + self.start)


class DenseDecoder(nn.Module):
    """Two hidden layers that see all smashed data at once: for narrow ones, where place no longer means place.

    Smashed data of more than 32,768 numbers are averaged down, images of more than 64 x 64 made small and enlarged.

    Args:
        z_shape: channels, height, width of the smashed data.
        mean: float32 [C, H, W] in [0, 1], the image to start from.
        width: of the hidden layers.
    """

    start: Tensor

    def __init__(self, z_shape: Shape, mean: Tensor, width: int = 512) -> None:
        super().__init__()
        channels, height, breadth = z_shape
        while channels * height * breadth > _MOST_INPUTS and height * breadth > 1:
            height, breadth = -(-height // 2), -(-breadth // 2)
        self.inputs = (height, breadth)
        self.outputs = (mean.shape[0], min(mean.shape[1], _LARGEST_SIDE), min(mean.shape[2], _LARGEST_SIDE))
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * height * breadth, width),
            nn.LeakyReLU(0.1),
            nn.Linear(width, width),
            nn.LeakyReLU(0.1),
            nn.Linear(width, math.prod(self.outputs)),
        )
        self.register_buffer("start", _logit(mean))

    def forward(self, z: Tensor) -> Tensor:
        """Images float32 [B, C, H, W] in [0, 1] of smashed data [B, C', H', W']."""
        if z.shape[2:] != self.inputs:
            z = functional.adaptive_avg_pool2d(z, self.inputs)
        change = self.layers(z).view(-1, *self.outputs)
        if change.shape[2:] != self.start.shape[1:]:
            change = functional.interpolate(change, list(self.start.shape[1:]), mode="bilinear", align_corners=False)
        return torch.sigmoid(change + self.start)


DECODERS: dict[str, Callable[[Shape, Tensor], nn.Module]] = {
    "convolutional": ConvolutionalDecoder,
    "dense": DenseDecoder,
}


def build_decoder(
    name: str, z_shape: Shape, mean: Tensor, generator: torch.Generator, width: int | None = None
) -> nn.Module:
    """An untrained decoder of `DECODERS`; the generator's next number fixes its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        if width is None:
            return DECODERS[name](z_shape, mean)
        return (
            ConvolutionalDecoder(z_shape, mean, width)
            if name == "convolutional"
            else DenseDecoder(z_shape, mean, width)
        )


def _logit(mean: Tensor) -> Tensor:
    return torch.logit(mean.detach().clone().clamp(0.01, 0.99))
