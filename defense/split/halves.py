"""One training step, each half's part of it. The same code whether the halves share a process or a channel."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from defense.split.model import SplitModel
from defense.split.protection import Protection
from defense.split.state import State, load_network, load_optimizer_state, optimizer_state, prefixed, under
from foundation.errors import DataError
from victim.step import TrainingSettings


@dataclass(frozen=True)
class SplitSettings:
    """How both halves are trained (AdamW under a one-cycle schedule, Smith & Topin 2018).

    Attributes:
        epochs: passes over the images.
        batch: images per step.
        learning_rate: the schedule's peak.
        weight_decay: of AdamW.
        augmented: the client shifts, turns, scales its images a little, anew in every epoch.
    """

    epochs: int = 10
    batch: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 5e-3
    augmented: bool = True

    @classmethod
    def for_images(cls, count: int, epochs: int | None = None) -> SplitSettings:
        """Settings that fit the size of a data set, as a victim's do (`victim.step.TrainingSettings.for_images`)."""
        fit = TrainingSettings.for_images(count)
        return cls(epochs or fit.epochs, fit.batch, fit.learning_rate, fit.weight_decay)

    def steps(self, images: int) -> int:
        """Steps of one epoch over so many images."""
        return max(1, images // self.batch)


class Answer(NamedTuple):
    """What the server gives for a training step: dL/dz, float32, shaped as z; and its loss."""

    gradient: Tensor
    loss: float


@dataclass
class Meter:
    """What a server has cost so far: nanoseconds that its client waited, those it computed, bytes to it and from it."""

    waited_ns: int = 0
    server_ns: int = 0
    sent: int = 0
    received: int = 0


class ServerSide(Protocol):
    """The server as its client sees it.

    Attributes:
        module: z to logits in evaluation mode, differentiable: what `SplitModel.judge` asks.
        meter: what it has cost.
    """

    module: nn.Module
    meter: Meter

    def step(self, z: Tensor, y: Tensor, number: int) -> Answer:
        """Learn from smashed data float32 [B, C', H', W'] and labels int64 [B]; `number` counts steps from 1."""

    def logits(self, z: Tensor) -> Tensor:
        """Logits float32 [B, classes] of smashed data, in evaluation mode."""


class Learner:
    """A network's optimiser and schedule."""

    def __init__(self, network: nn.Module, settings: SplitSettings, total: int) -> None:
        self.network = network
        # A step of 64 images of 64 x 64 took 79 ms so, 109 in the plain order (one core, AMD EPYC).
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rate = settings.learning_rate
        # Not fused: that kernel takes weights, moments and gradients as they lie in memory, in whatever order each is.
        self.optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=settings.weight_decay)
        # Known beforehand, the schedule is a function of the step alone, and a resumed run need not walk it again.
        self._cycle = _one_cycle(rate, total)

    def step(self, number: int) -> None:
        """Change the parameters by their gradients; `number` counts steps from 1."""
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"] = self._cycle[number - 1]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def state(self) -> State:
        """Network and optimiser."""
        return prefixed("network", self.network.state_dict()) | prefixed("optimizer", optimizer_state(self.optimizer))

    def load_state(self, state: State, what: str) -> None:
        """Take back what `state` gave.

        Raises:
            ArtifactError: it is of another network.
        """
        load_network(self.network, under("network", state), what)
        load_optimizer_state(self.optimizer, under("optimizer", state))


def _one_cycle(peak: float, total: int) -> list[tuple[float, tuple[float, float]]]:
    """Learning rate and Adam's betas for each step."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], peak)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=total, pct_start=0.2)
    cycle = []
    for _ in range(total):
        cycle.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]))
        optimizer.step()
        schedule.step()
    return cycle


class ClientHalf:
    """The client's part of a step.

    Args:
        network: the client's.
        protection: what it does beside.
        settings: of the training.
        total: steps in all.
        generator: of augmentation and of the protection's noise.
        server: what `SplitModel.judge` asks.
    """

    def __init__(
        self,
        network: nn.Module,
        protection: Protection,
        settings: SplitSettings,
        total: int,
        generator: torch.Generator,
        server: nn.Module,
    ) -> None:
        self.model = SplitModel(network, server, protection)
        self.generator = generator
        self.learner = Learner(network, settings, total)
        self._pending: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, x: Tensor, y: Tensor, number: int) -> Tensor:
        """What leaves the client for images float32 [B, C, H, W] in [0, 1] and labels int64 [B].

        Raises:
            DataError: it is no number.
        """
        self.model.client.train()
        protection = self.model.protection
        z = self.model.client(protection.prepare(x, y, self.model))
        released = protection.release(z, self.generator)
        self._pending = x, z, released
        return finite(released.detach().contiguous(), "the smashed data", number)

    def backward(self, gradient: Tensor, number: int) -> None:
        """Learn from dL/dz, shaped as what `forward` gave.

        Raises:
            DataError: a gradient is no number; no weight has changed.
        """
        assert self._pending is not None
        (x, z, released), self._pending = self._pending, None
        finite(gradient, "the gradient from the server", number)
        protection, network = self.model.protection, self.model.client
        penalty = protection.penalty(x, z)
        self.learner.optimizer.zero_grad(set_to_none=True)
        if penalty.requires_grad:
            torch.autograd.backward([released, penalty], [gradient, None])
        else:
            released.backward(gradient)  # type: ignore[no-untyped-call]
        protection.gradients(network.parameters(), self.generator)
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                finite(parameter.grad, f"the client's gradient of {name}", number)
        self.learner.step(number)
        protection.learn(x, z.detach())

    def state(self) -> State:
        """Everything that the next step depends on."""
        kept = {"generator": self.generator.get_state()}
        return self.learner.state() | kept | prefixed("protection", self.model.protection.state())

    def load_state(self, state: State) -> None:
        """Take back what `state` gave.

        Raises:
            ArtifactError: it is of another client.
        """
        self.learner.load_state(state, "client")
        self.generator.set_state(state["generator"])
        self.model.protection.load_state(under("protection", state))


@dataclass
class ServerHalf:
    """The server's part of a step; a `ServerSide` for a client in the same process."""

    network: nn.Module
    settings: SplitSettings
    total: int
    meter: Meter = field(default_factory=Meter)

    def __post_init__(self) -> None:
        self.module = self.network
        self.learner = Learner(self.network, self.settings, self.total)

    def step(self, z: Tensor, y: Tensor, number: int) -> Answer:
        """See `ServerSide.step`.

        Raises:
            DataError: the loss or a gradient is no number; no weight has changed.
        """
        start = time.perf_counter_ns()
        self.network.train()
        self.learner.optimizer.zero_grad(set_to_none=True)
        leaf = _ordered(z).detach().requires_grad_()
        total, crossing = self.network.loss(leaf, y)  # type: ignore[operator]
        finite(total.detach(), "the server's loss", number)
        if crossing is total:
            total.backward()
            gradient = leaf.grad
        else:
            (gradient,) = torch.autograd.grad(crossing, leaf, retain_graph=True)
            total.backward()
        assert gradient is not None
        gradient = finite(gradient.contiguous(), "the gradient for the client", number)
        for name, parameter in self.network.named_parameters():
            if parameter.grad is not None:
                finite(parameter.grad, f"the server's gradient of {name}", number)
        self.learner.step(number)
        self._count(start)
        return Answer(gradient, float(total.detach()))

    def logits(self, z: Tensor) -> Tensor:
        """See `ServerSide.logits`."""
        start = time.perf_counter_ns()
        self.network.eval()
        with torch.no_grad():
            logits: Tensor = self.network(_ordered(z))
        self._count(start)
        return logits

    def _count(self, start: int) -> None:
        spent = time.perf_counter_ns() - start
        self.meter.waited_ns += spent
        self.meter.server_ns += spent


def _ordered(z: Tensor) -> Tensor:
    """One order in memory, whether `z` came over a channel or not: another would change the last bits of sums."""
    return z.contiguous(memory_format=torch.channels_last)


def finite(tensor: Tensor, what: str, number: int) -> Tensor:
    """The tensor itself.

    Raises:
        DataError: it holds NaN or an infinity.
    """
    if not bool(torch.isfinite(tensor).all()):
        raise DataError(
            f"step {number}: {what} is no longer a number; training stops, earlier checkpoints stay",
            hint="lower the learning rate, or the protection's strength",
        )
    return tensor
