"""The client's stand-in for the server it cannot see into: a small head on its own smashed data."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.split.state import State, load_network, load_optimizer_state, optimizer_state, prefixed, under
from foundation.errors import ArtifactError

_WIDTH, _SIDE, _RATE, _SEED = 32, 8, 2e-3, 0x9561


class LocalHead:
    """Learns to classify the client's smashed data beside the server; what it learns never leaves the client.

    Args:
        channels: of the smashed data.
        classes: number of logits.
    """

    def __init__(self, channels: int, classes: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            self.network = nn.Sequential(
                nn.Conv2d(channels, _WIDTH, 3, padding=1),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(_WIDTH, classes),
            )
        self.optimizer = torch.optim.AdamW(self.network.parameters(), _RATE)

    def __call__(self, z: Tensor) -> Tensor:
        """Logits [B, classes] of smashed data [B, channels, H', W']."""
        small = functional.adaptive_avg_pool2d(z, (min(_SIDE, z.shape[2]), min(_SIDE, z.shape[3])))
        logits: Tensor = self.network(small)
        return logits

    def gradients(self, logits: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Of the cross entropy with labels int64 [B], by the head's own parameters; consumes the logits' graph."""
        return torch.autograd.grad(functional.cross_entropy(logits.float(), y), list(self.network.parameters()))

    def learn(self, gradients: tuple[Tensor, ...]) -> None:
        """A step of the optimiser."""
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> State:
        """Weights and optimiser."""
        return prefixed("head", self.network.state_dict()) | prefixed("optimizer", optimizer_state(self.optimizer))

    @classmethod
    def of(cls, state: State) -> LocalHead:
        """The way back from `state`.

        Raises:
            ArtifactError: it is of something else.
        """
        kept = under("head", state)
        try:
            head = cls(kept["0.weight"].shape[1], len(kept["4.bias"]))
        except (KeyError, IndexError) as error:
            raise ArtifactError("a state that holds no head of PSGL's") from error
        load_network(head.network, kept, "PSGL head")
        load_optimizer_state(head.optimizer, under("optimizer", state))
        return head
