"""Small images with structure, and split networks of a few hundred weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.split.model import SplitModel, build_split
from defense.split.protection import Protection
from victim.dataset import Split


def blobs(count: int, seed: int, side: int = 16, first_patient: int = 0) -> Split:
    """Dark images with one bright blob whose place is the image's own; left is class 0, right is class 1."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    across = chance.uniform(0.1, 0.4, count) + 0.5 * labels
    down = chance.uniform(0.2, 0.8, count)
    y, x = np.mgrid[0:side, 0:side] / side
    squares = (x - across[:, None, None]) ** 2 + (y - down[:, None, None]) ** 2
    images = 40 + 200 * np.exp(-squares / 0.03) + chance.normal(0, 3, squares.shape)
    pixels = images.clip(0, 255).astype(np.uint8)[..., None]
    return Split(pixels, labels.astype(np.int64), np.arange(first_patient, first_patient + count, dtype=np.int64))


def plain(protection: Protection | None = None, side: int = 16, depth: int = 2, width: int | None = 4) -> SplitModel:
    """Untrained halves for blobs."""
    generator = torch.Generator().manual_seed(0)
    return build_split((side, side, 1), 2, protection or Protection(), generator, depth=depth, width=width)


class SigmoidServer(nn.Module):
    """One linear layer, the loss without label smoothing, as in DLG's own network."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, classes)

    def forward(self, z: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(z.flatten(1))
        return logits

    def loss(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy, twice."""
        both = functional.cross_entropy(self(z), y)
        return both, both


def smooth(protection: Protection | None = None, side: int = 8, classes: int = 4) -> SplitModel:
    """Convolutions and sigmoids without strides: the kind of network that DLG's authors attack."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        client = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.Conv2d(6, 6, 5, padding=2), nn.Sigmoid())
        server = SigmoidServer(6 * side * side, classes)
        for parameter in (*client.parameters(), *server.parameters()):
            nn.init.uniform_(parameter, -0.5, 0.5)
    return SplitModel(client, server, protection or Protection())
