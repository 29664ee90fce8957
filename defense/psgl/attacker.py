"""The network that a client attacks its images with: the server's half it cannot see into, so it trains a small one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.split.state import State, load_network, load_optimizer_state, optimizer_state, prefixed, under
from foundation.errors import ArtifactError

_WIDTHS, _RATE, _SEED = (8, 16), 2e-3, 0x9561


class LocalNetwork:
    """Two strided convolutions and a linear layer; learns beside the split network, and never leaves the client.

    Args:
        channels: of what it looks at.
        classes: number of logits.
    """

    def __init__(self, channels: int, classes: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            self.network = nn.Sequential(
                nn.Conv2d(channels, _WIDTHS[0], 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(_WIDTHS[0], _WIDTHS[1], 3, 2, 1),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(_WIDTHS[1], classes),
            )
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.network.parameters(), _RATE)

    def __call__(self, x: Tensor) -> Tensor:
        """Logits [B, classes] of [B, channels, H, W], folded images or smashed data."""
        logits: Tensor = self.network(x)
        return logits

    def gradients(self, logits: Tensor, y: Tensor) -> tuple[Tensor, ...]:
        """Of the cross entropy with labels int64 [B], by the network's own parameters; consumes the logits' graph."""
        return torch.autograd.grad(functional.cross_entropy(logits.float(), y), list(self.network.parameters()))

    def learn(self, gradients: tuple[Tensor, ...]) -> None:
        """A step of the optimiser."""
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> State:
        """Weights and optimiser."""
        return prefixed("network", self.network.state_dict()) | prefixed("optimizer", optimizer_state(self.optimizer))

    @classmethod
    def of(cls, state: State) -> LocalNetwork:
        """The way back from `state`.

        Raises:
            ArtifactError: it is of something else.
        """
        kept = under("network", state)
        try:
            restored = cls(kept["0.weight"].shape[1], len(kept["6.bias"]))
        except (KeyError, IndexError) as error:
            raise ArtifactError("a state that holds no network of a PSGL client's own") from error
        load_network(restored.network, kept, "PSGL client's own network")
        load_optimizer_state(restored.optimizer, under("optimizer", state))
        return restored
