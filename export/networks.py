"""Anybody's classifier as a network of ours: float32 [N, C, H, W] in [0, 1] to logits [N, classes]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from export.normalisation import by_channel
from export.pt2 import load_program
from foundation.errors import ArtifactError, UsageError, first_line
from foundation.files import sha256_file
from victim.models import build

# What a network says that does not take what it is given.
_FAULTS = (RuntimeError, ValueError, TypeError, AssertionError, IndexError)

Layout = Literal["nchw", "nhwc"]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Foreign:
    """Somebody's network, and how it takes images.

    Attributes:
        source: `module:factory`, called as factory(channels, classes), or a `.pt2` file of `torch.export.save`.
        weights: safetensors file with the factory's state dict; None for a `.pt2` file, which has its own.
        layout: of the batch that the network takes.
        mean, std: it takes (pixel / 255 - mean) / std; a number for each channel, or one for all.
    """

    source: str
    weights: Path | None = None
    layout: Layout = "nchw"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if self.layout not in ("nchw", "nhwc"):
            raise UsageError(f"unknown layout {self.layout!r}", hint="use nchw or nhwc")
        if not self.mean or not self.std or min(self.std) <= 0:
            raise UsageError("a mean and a standard deviation above 0 are wanted, for each channel or for all")
        if self.is_program == (self.weights is not None):
            wanted = "has its weights in it" if self.is_program else "wants --weights FILE.safetensors"
            raise UsageError(f"{self.source} {wanted}")

    @property
    def is_program(self) -> bool:
        """Whether it is a `.pt2` file."""
        return self.source.endswith(".pt2")


def load_network(foreign: Foreign, shape: Shape, classes: int) -> tuple[nn.Module, str]:
    """A network of ours around somebody's, and the sha256 of its weights' file.

    Args:
        foreign: what is to be loaded. A factory runs the user's own code; its weights and a `.pt2` file run nothing.
        shape: height, width, channels of the images.
        classes: how many logits it has to give.

    Raises:
        UsageError: no such factory, or means for another number of channels.
        ArtifactError: weights that do not fit, a spoilt file, or a network that does not give logits [N, classes] for
            such images, as one with several outputs does not.
    """
    path = Path(foreign.source) if foreign.weights is None else foreign.weights
    network = load_program(path) if foreign.is_program else _built(foreign, shape[2], classes)
    adapted = Adapted(network, foreign, shape[2]).eval()
    _try(adapted, foreign.source, shape, classes)
    return adapted, sha256_file(path)


class Adapted(nn.Module):
    """Takes images as ours do, and gives them to a network as that one wants them.

    Normalisation and layout are thereby exported with the network: the file takes pixels, whatever it does inside.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, foreign: Foreign, channels: int) -> None:
        super().__init__()
        self.network = network
        self.nhwc = foreign.layout == "nhwc"
        self.normalises = any(foreign.mean) or any(value != 1 for value in foreign.std)
        for name, values in (("mean", foreign.mean), ("std", foreign.std)):
            self.register_buffer(name, torch.tensor(by_channel(name, values, channels)).view(1, channels, 1, 1))
        # A program that was exported with one image takes no other number of them.
        self.one_by_one = False

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W] in [0, 1]."""
        if self.normalises:
            x = (x - self.mean) / self.std
        if self.nhwc:
            x = x.permute(0, 2, 3, 1)
        if self.one_by_one and x.shape[0] != 1:
            return torch.cat([self.network(x[row : row + 1]) for row in range(x.shape[0])])
        logits: Tensor = self.network(x)
        return logits


def _built(foreign: Foreign, channels: int, classes: int) -> nn.Module:
    assert foreign.weights is not None  # As `Foreign` has seen to.
    network = build(foreign.source, channels, classes, torch.Generator().manual_seed(0))
    if not foreign.weights.is_file():
        raise ArtifactError(f"no weights {foreign.weights}")
    try:
        network.load_state_dict(load_file(foreign.weights))
    except (SafetensorError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise ArtifactError(f"the weights {foreign.weights} do not fit {foreign.source}: {said}") from error
    return network


def _try(network: Adapted, source: str, shape: Shape, classes: int) -> None:
    """Whether it does what it shall, on black images."""
    height, width, channels = shape
    images = torch.zeros(2, channels, height, width)
    try:
        with torch.no_grad():
            found: object = network(images[:1])
    except _FAULTS as error:
        raise ArtifactError(
            f"{source} does not take images of {height} x {width} x {channels}: {first_line(error)}",
            hint="does --layout fit, and the data?",
        ) from error
    if not isinstance(found, Tensor):
        raise ArtifactError(
            f"{source} gives {_counted(found)}, not logits [N, {classes}]",
            hint="edgecat exports classifiers with one output: wrap the network so that it gives that one",
        )
    if found.shape != (1, classes) or not found.is_floating_point():
        raise ArtifactError(
            f"{source} gives {tuple(found.shape)} of {found.dtype} for an image, not (1, {classes}) floats"
        )
    try:
        with torch.no_grad():
            network(images)
    except _FAULTS:
        network.one_by_one = True


def _counted(found: object) -> str:
    outputs = found.values() if isinstance(found, dict) else found if isinstance(found, tuple | list) else None
    return f"a {type(found).__name__}" if outputs is None else f"{len(list(outputs))} outputs"
