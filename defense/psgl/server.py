"""PSGL's server: three streams of the same smashed data, attacked, recovered and fused (sections IV-C to IV-E)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.psgl.decision import fuse
from defense.psgl.recovery import recovered
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
        # Recovery takes most of the smashed data's scale away, and one trunk serves all streams.
        self.scale = nn.BatchNorm2d(channels)
        kernel = settings.fusion_kernel
        self.fusion = nn.Conv2d(2 * channels, channels, kernel, padding=kernel // 2)
        self.settings = settings

    def forward(self, z: Tensor) -> Tensor:
        """Logits [B, classes] of smashed data [B, C', H', W']: logarithms of the decision fusion's probabilities."""
        streams = {name: logits.softmax(1) for name, logits in self.streams(z).items()}
        mixed = fuse(streams["recovered"], streams["fused"], streams["attacked"], self.settings.decision)
        return mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()

    def streams(self, z: Tensor) -> dict[str, Tensor]:
        """Logits [B, classes] of each stream of `STREAMS`."""
        return self._classified(dict(zip(STREAMS, (z, *self._recovered_and_fused(z)), strict=True)))

    def loss(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The sum of the streams' cross entropies, of which dL/dz is the fused stream's alone.

        The attacked and the recovered stream are cut off from `z`, so one backward pass serves server and client. They
        learn from `stream_share` of the batch, the one from its first images, the other from its last.

        Args:
            z: float32 [B, C', H', W'].
            y: int64 [B].

        Returns:
            twice the same scalar, as `ServerNetwork.loss` has it.
        """
        count = max(1, math.ceil(self.settings.stream_share * len(z)))
        rest, joined = self._recovered_and_fused(z)
        inputs = {"attacked": z[:count].detach(), "recovered": rest[-count:].detach(), "fused": joined}
        goals = {"attacked": y[:count], "recovered": y[-count:], "fused": y}
        losses = [
            functional.cross_entropy(logits, goals[name], label_smoothing=LABEL_SMOOTHING)
            for name, logits in self._classified(inputs).items()
        ]
        total = torch.stack(losses).sum()
        return total, total

    def _recovered_and_fused(self, z: Tensor) -> tuple[Tensor, Tensor]:
        rest: Tensor = self.scale(recovered(z, self.settings.recovery))
        # Eq. 7 and 8: concatenated, convolved back to the stream's width, added to the attacked stream.
        return rest, self.fusion(torch.cat([z, rest], 1)) + z

    def _classified(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        features = self.trunk(torch.cat(list(inputs.values()))).mean((2, 3))
        parts = features.split([len(part) for part in inputs.values()])
        return {name: self.heads[name](part) for name, part in zip(inputs, parts, strict=True)}
