"""CNNs that stand for what is shipped on phones: small, quantisable, plain torch.

All take float32 [N, channels, height, width] in [0, 1] (pixel / 255) and give logits float32 [N, classes]. Only
operations that both runtimes quantise and delegate whole (convolution, batch norm, ReLU, addition, pooling, linear).
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from foundation.errors import UsageError

Factory = Callable[[int, int], nn.Module]

_BUILDING = threading.Lock()


def _convolution(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)
    )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut (He et al. 2016, "Deep Residual Learning", fig. 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride=stride)
        self.second = _convolution(outputs, outputs)
        self.shortcut: nn.Module = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else _convolution(inputs, outputs, kernel=1, stride=stride)
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        inner = self.second(self.activation(self.first(x)))
        joined: Tensor = self.activation(inner + self.shortcut(x))
        return joined


class ResidualCNN(nn.Module):
    """The default victim: a stem and residual stages, each half the size of the one before."""

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, widths[0], stride=2), nn.ReLU())
        stages = [ResidualBlock(before, after, 2) for before, after in pairwise(widths)]
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, channels, H, W] in [0, 1]."""
        logits: Tensor = self.head(self.pool(self.stages(self.stem(x))).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """Expand, depthwise 3 x 3, project (Sandler et al. 2018, "MobileNetV2", section 3.3)."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int = 4) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.body = nn.Sequential(
            *_convolution(inputs, hidden, kernel=1),
            nn.ReLU6(),
            *_convolution(hidden, hidden, stride=stride, groups=hidden),
            nn.ReLU6(),
            *_convolution(hidden, outputs, kernel=1),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / stride, W / stride]."""
        y: Tensor = self.body(x)
        return x + y if self.residual else y


class MobileCNN(nn.Module):
    """A MobileNetV2 at the scale of 64 x 64 images."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(_convolution(channels, 16, stride=2), nn.ReLU6())
        plan = [(16, 24, 2), (24, 24, 1), (24, 40, 2), (40, 40, 1), (40, 64, 2)]
        self.blocks = nn.Sequential(*(InvertedResidual(*row) for row in plan))
        self.last = nn.Sequential(_convolution(64, 128, kernel=1), nn.ReLU6())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, channels, H, W] in [0, 1]."""
        logits: Tensor = self.head(self.pool(self.last(self.blocks(self.stem(x)))).flatten(1))
        return logits


class PlainCNN(nn.Module):
    """Four strided convolutions and no shortcut: the quickest to train."""

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        pairs = zip((channels, *widths), widths, strict=False)
        layers = [layer for pair in pairs for layer in (_convolution(*pair, stride=2), nn.ReLU())]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, channels, H, W] in [0, 1]."""
        logits: Tensor = self.head(self.pool(self.features(x)).flatten(1))
        return logits


class StackedCNN(nn.Module):
    """Stages of two stacked 3 x 3 convolutions without shortcuts (Simonyan & Zisserman 2015, "VGG", section 2)."""

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(channels, widths[0], stride=2), nn.ReLU()]
        for before, after in pairwise(widths):
            layers += [_convolution(before, after, stride=2), nn.ReLU(), _convolution(after, after), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, channels, H, W] in [0, 1]."""
        logits: Tensor = self.head(self.pool(self.features(x)).flatten(1))
        return logits


ARCHITECTURES: dict[str, Factory] = {
    "residual": ResidualCNN,
    "mobile": MobileCNN,
    "plain": PlainCNN,
    "stacked": StackedCNN,
}


def build(architecture: str, channels: int, classes: int, generator: torch.Generator) -> nn.Module:
    """Make an untrained network.

    Args:
        architecture: a name in `ARCHITECTURES`, or the user's own `module:factory`, called as
            factory(channels, classes).
        channels: of the image, 1 or 3.
        classes: number of logits.
        generator: its seed fixes the initial weights.

    Raises:
        UsageError: unknown name, or a factory that cannot be had or makes no `nn.Module`.
    """
    factory = ARCHITECTURES.get(architecture) or _import_factory(architecture)
    # A factory draws from torch's one global source of chance: one network at a time, so that threads stay repeatable.
    with _BUILDING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        try:
            network = factory(channels, classes)
        except TypeError as error:
            raise UsageError(
                f"{architecture} cannot be made for {channels} channels and {classes} classes: {error}",
                hint="a factory is called as factory(channels, classes)",
            ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{architecture} made a {type(network).__name__}, not a torch.nn.Module")
    return network


def _import_factory(architecture: str) -> Factory:
    module, _, name = architecture.partition(":")
    known = ", ".join(ARCHITECTURES)
    if not name:
        raise UsageError(f"unknown architecture {architecture!r}", hint=f"use {known}, or module:factory of your own")
    try:
        factory: Factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"cannot import {architecture}: {error}", hint="is its folder on PYTHONPATH?") from error
    return factory


def count_parameters(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in network.parameters())
