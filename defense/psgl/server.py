"""PSGL's server: three streams of the same smashed data, attacked, recovered and fused (sections IV-C to IV-E)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.psgl.decision import fuse
from defense.psgl.recovery import mixed, recovery
from defense.psgl.settings import ServerSettings
from defense.split.network import LABEL_SMOOTHING, ServerNetwork

STREAMS = ("attacked", "recovered", "fused")


class StreamServer(nn.Module):
    """Recovers, fuses, and classifies three streams with one trunk and a head each.

    Args:
        channels: of the smashed data.
        depth: how many of the plan's blocks the client has.
        classes: number of logits.
        settings: how.
    """

    def __init__(self, channels: int, depth: int, classes: int, settings: ServerSettings) -> None:
        super().__init__()
        plain = ServerNetwork(channels, depth, classes)
        self.trunk, width = plain.blocks, plain.head.in_features
        self.heads = nn.ModuleDict({name: nn.Linear(width, classes) for name in STREAMS})
        self.fusion = nn.Conv2d(2 * channels, channels, 1)
        # The fused stream starts as the attacked one: with a trunk in common they learn from each other.
        nn.init.zeros_(self.fusion.weight)
        self.settings = settings

    def forward(self, z: Tensor) -> Tensor:
        """Logits [B, classes] of smashed data [B, C', H', W']: logarithms of the decision fusion's probabilities."""
        streams = {name: logits.softmax(1) for name, logits in self.streams(z).items()}
        mixed = fuse(streams["recovered"], streams["fused"], streams["attacked"], self.settings.decision)
        return mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()

    def streams(self, z: Tensor) -> dict[str, Tensor]:
        """Logits [B, classes] of each stream of `STREAMS`."""
        removal = recovery(z, self.settings.recovery)
        return self._classified({"attacked": z, "recovered": mixed(removal, z), "fused": self._fused(z, removal)})

    def loss(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The streams' cross entropies, where every image counts alike; dL/dz is of the fused stream's alone.

        The attacked and the recovered stream are cut off from `z`, so one backward pass serves server and client. They
        pass the trunk by its running statistics: as parts of one batch with the fused stream they would reach `z`
        through its batch statistics. They learn from `stream_share` of the batch, one from its first images, one from
        its last.

        Args:
            z: float32 [B, C', H', W'].
            y: int64 [B].

        Returns:
            twice the same scalar, as `ServerNetwork.loss` has it.
        """
        count = max(1, math.ceil(self.settings.stream_share * len(z)))
        removal = recovery(z, self.settings.recovery)
        first, last = z[:count].detach(), z[-count:].detach()
        # First, since it moves the running statistics that the others' backward pass has to find as they were.
        logits = self._classified({"fused": self._fused(z, removal)})
        with evaluating(self.trunk):
            logits |= self._classified({"attacked": first, "recovered": mixed(removal[-count:], last)})
        goals = {"fused": y, "attacked": y[:count], "recovered": y[-count:]}
        losses = [
            functional.cross_entropy(logits[name], goal, label_smoothing=LABEL_SMOOTHING, reduction="sum")
            for name, goal in goals.items()
        ]
        total = torch.stack(losses).sum() / len(z)
        return total, total

    def _fused(self, z: Tensor, removal: Tensor) -> Tensor:
        """Eq. 7 and 8: both streams concatenated, convolved back to the width of one, added to the attacked one.

        The recovered stream is z times a matrix and the convolution is 1 x 1, so all of it is z times one matrix, at a
        quarter of the cost (a test does it literally).
        """
        of_attacked, of_recovered = self.fusion.weight.flatten(1).chunk(2, 1)
        matrix = torch.eye(z.shape[1]) + of_attacked + of_recovered @ removal
        return mixed(matrix, z, self.fusion.bias)

    def _classified(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = self.trunk(torch.cat(list(inputs.values()))).mean((2, 3))
        parts = features.split([len(part) for part in inputs.values()])
        return {name: self.heads[name](part) for name, part in zip(inputs, parts, strict=True)}


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A network in evaluation mode for a `with` block."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)
