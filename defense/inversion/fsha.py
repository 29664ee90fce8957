"""Feature-space hijacking: a malicious server teaches the client to encode its images as the server can decode them.

Pasquini et al. 2021, "Unleashing the Tiger: Inference Attacks on Split Learning". The server has an encoder
("pilot") and a decoder of its own, trained on public images, and a critic that tells the pilot's features from the
client's. In place of the task's gradient it sends the client the critic's: the client learns to look like the pilot,
and the pilot's decoder reads it. Unlike the other attacks this one is active, and costs the task: a client that watches
its accuracy sees it.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.inversion.networks import build_decoder
from defense.inversion.reconstruction import Reconstruction, child, measured
from defense.split.model import SplitModel
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress
from victim.step import native_bf16


@dataclass(frozen=True)
class FshaSettings:
    """How the hijack runs.

    Attributes:
        steps: exchanges with the client.
        batch: images of each exchange.
        client_rate: learning rate of the client's Adam, which the client chooses.
        server_rate: of the server's own networks.
        penalty: weight of the critic's gradient penalty (Gulrajani et al. 2017, eq. 3).
        scale: by which the server multiplies what it sends back: against a client that adds a penalty of its own.
        critic_steps: of the critic, for one of the client's.
    """

    steps: int = 1_500
    batch: int = 32
    client_rate: float = 1e-3
    server_rate: float = 1e-3
    penalty: float = 10.0
    scale: float = 1.0
    critic_steps: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 2 or self.critic_steps < 1:
            raise UsageError("a hijack wants at least one step, of two images or more")


def fsha_attack(
    model: SplitModel,
    auxiliary: Tensor,
    private: Tensor,
    labels: Tensor,
    settings: FshaSettings,
    generator: torch.Generator,
    progress: Progress = SILENT,
) -> Reconstruction:
    """Hijack a client that trains on `private`, then decode what it sends of the same images.

    The client starts as it is in `model` (give an untrained one for the paper's setting) and does all that its
    protection does: prepares, releases, adds its penalty, lets its own networks learn, changes its gradients.

    Args:
        model: left unchanged: client and protection are copied.
        auxiliary: float32 [M, C, H, W] in [0, 1], public images of the same kind.
        private: float32 [N, C, H, W] in [0, 1], what the client trains on, and the victims.
        labels: int64 [N], the client's.
        settings: of the hijack.
        generator: the source of chance.
        progress: where to show progress.

    Returns:
        the reconstructions; notes: `autoencoder_mse` of pilot and decoder on the last public batch, `critic`: how far
        the critic tells the two apart at the end.

    Raises:
        DataError: fewer than 2 auxiliary or private images, or not one label each.
    """
    if min(len(auxiliary), len(private)) < 2 or len(labels) != len(private):
        raise DataError(f"a hijack with {len(auxiliary)} public, {len(private)} private images, {len(labels)} labels")
    start = time.perf_counter()
    client = _Client(model, settings, generator)
    server = _Server(model, auxiliary, settings, generator)
    notes: dict[str, float] = {}
    with progress.task("feature-space hijacking", settings.steps) as advance:
        for _ in range(settings.steps):
            rows = torch.randint(len(private), (settings.batch,), generator=generator)
            z = client.send(private[rows], labels[rows])
            returned, notes = server.step(z.detach())
            client.receive(returned)
            advance(1, f"autoencoder {notes['autoencoder_mse']:.4f}")
    found = server.read(client.infer(private))
    return measured(found, private, time.perf_counter() - start, notes)


class _Client:
    """The victim, who follows the protocol."""

    def __init__(self, model: SplitModel, settings: FshaSettings, generator: torch.Generator) -> None:
        self.model = SplitModel(copy.deepcopy(model.client), model.server, copy.deepcopy(model.protection))
        self.parameters = list(self.model.client.requires_grad_().parameters())
        self.optimizer = torch.optim.Adam(self.parameters, settings.client_rate)
        self.generator = child(generator)

    def send(self, x: Tensor, y: Tensor) -> Tensor:
        protection = self.model.protection
        prepared = protection.prepare(x, y, self.model)
        self.model.client.train()
        self.x, self.z = x, self.model.client(prepared)
        self.sent = protection.release(self.z, self.generator)
        return self.sent

    def receive(self, gradient: Tensor) -> None:
        protection = self.model.protection
        self.optimizer.zero_grad(set_to_none=True)
        penalty = protection.penalty(self.x, self.z)
        loss = (self.sent * gradient).sum() + penalty
        loss.backward()  # type: ignore[no-untyped-call]
        protection.gradients(self.parameters, self.generator)
        self.optimizer.step()
        protection.learn(self.x, self.z.detach())

    def infer(self, x: Tensor) -> Tensor:
        with self.model.evaluating(), torch.no_grad():
            return torch.cat([self.model.smashed(part, None, self.generator) for part in torch.split(x, 128)])


class _Server:
    """Pilot, decoder and critic; the pilot has the client's architecture, with weights of the server's own."""

    def __init__(
        self, model: SplitModel, auxiliary: Tensor, settings: FshaSettings, generator: torch.Generator
    ) -> None:
        self.auxiliary, self.settings, self.generator = auxiliary, settings, generator
        self.noise = child(generator)
        self.pilot = SplitModel(_fresh(model.client, generator), model.server, copy.deepcopy(model.protection))
        with self.pilot.evaluating(), torch.no_grad():
            shape = self.pilot.smashed(auxiliary[:2]).shape[1:]
        self.decoder = build_decoder("convolutional", (shape[0], shape[1], shape[2]), auxiliary.mean(0), generator)
        self.critic = _critic(shape[0], generator)
        for network in (self.pilot.client, self.decoder, self.critic):
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        rate = settings.server_rate
        own = [*self.pilot.client.parameters(), *self.decoder.parameters()]
        self.autoencoder = torch.optim.Adam(own, rate)
        self.judge = torch.optim.Adam(self.critic.parameters(), rate, betas=(0.5, 0.9))

    def step(self, z: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Learn from one exchange; gives what goes back to the client in place of dL/dz."""
        rows = torch.randint(len(self.auxiliary), (self.settings.batch,), generator=self.generator)
        public = self.auxiliary[rows]
        self.pilot.client.train()
        with native_bf16():
            features = self.pilot.smashed(public, None, self.noise)
            drawn = self.decoder.train()(features)
        features, z = (t.float().contiguous(memory_format=torch.channels_last) for t in (features, z))
        error = functional.mse_loss(drawn.float(), public)
        self.autoencoder.zero_grad(set_to_none=True)
        error.backward()  # type: ignore[no-untyped-call]
        self.autoencoder.step()
        for _ in range(self.settings.critic_steps):
            apart = self._judge(features.detach(), z)
        sent = z.clone().requires_grad_()
        with native_bf16():
            verdict = self.critic(sent).float().mean()
        (returned,) = torch.autograd.grad(-verdict, sent)
        return returned * self.settings.scale, {"autoencoder_mse": error.item(), "critic": apart}

    def read(self, z: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([self.decoder.eval()(part) for part in torch.split(z, 256)])

    def _judge(self, features: Tensor, z: Tensor) -> float:
        """A step of the critic, a Wasserstein one as in the authors' own code: high for the pilot's features."""
        count = min(len(features), len(z))
        features, z = features[:count], z[:count]
        share = torch.rand(count, 1, 1, 1, generator=self.generator)
        between = (share * features + (1 - share) * z).requires_grad_()
        with native_bf16():
            apart = self.critic(features).float().mean() - self.critic(z).float().mean()
            (slope,) = torch.autograd.grad(self.critic(between).float().sum(), between, create_graph=True)
        uneven = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        loss = self.settings.penalty * uneven - apart
        self.judge.zero_grad(set_to_none=True)
        loss.backward()
        self.judge.step()
        return float(apart.item())


def _critic(channels: int, generator: torch.Generator) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        return nn.Sequential(
            nn.Conv2d(channels, 64, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 64, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(256, 1),
        )


def _fresh(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """The same architecture with weights of its own."""
    copied = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        for module in copied.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
    for parameter in copied.parameters():
        parameter.requires_grad_()
    return copied
