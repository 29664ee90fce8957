"""What a client of SplitFed shares for averaging (Thapa et al. 2022), its gradients; and those of a guess.

A guess goes through the same step as the real images, so that an attacker who knows the protection attacks through it.
Batch norm uses the batch's own statistics, as training does: those of a guess are right only as far as it is. Running
statistics stand still.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from defense.inversion.reconstruction import child
from defense.split.model import SplitModel

Gradients = tuple[Tensor, ...]


class Exchange:
    """One training step whose gradients are shared; weights do not change.

    Args:
        model: copied, the protection too: the attacker knows it as it is.
        generator: of the protection's noise.
        everything: the gradients of the server's parameters are shared too: the stronger variant, of plain federated
            learning; otherwise the client's alone.
    """

    def __init__(self, model: SplitModel, generator: torch.Generator, *, everything: bool = False) -> None:
        client, server = copy.deepcopy(model.client), copy.deepcopy(model.server)
        self.model = SplitModel(client, server, copy.deepcopy(model.protection)).train()
        for module in (*client.modules(), *server.modules()):
            if isinstance(module, _BatchNorm):
                module.momentum = 0.0
        self.everything, self.noise = everything, child(generator)
        self.client = [p.requires_grad_() for p in client.parameters()]
        self.server = [p.requires_grad_() for p in server.parameters()]

    def shared(self, x: Tensor, y: Tensor) -> Gradients:
        """Gradients as they leave, for images float32 [B, C, H, W] and labels int64 [B].

        Order: the client's parameters, then the server's if `everything`. The protection clips and adds its noise.
        """
        gradients = [g.detach().clone() for g in self._gradients(x, y, self.noise, differentiable=False)]
        held = [nn.Parameter(p.detach()) for p in self.client]
        for parameter, gradient in zip(held, gradients, strict=False):
            parameter.grad = gradient
        self.model.protection.gradients(held, self.noise)
        return tuple(gradients)

    def guessed(self, x: Tensor, target: Tensor, noise: torch.Generator) -> Gradients:
        """The same for a guess, differentiable in it; without the protection's clipping and noise on gradients.

        Args:
            x: float32 [B, C, H, W] that wants a gradient.
            target: int64 [B], or float32 [B, classes] whose rows sum to 1.
            noise: of what the protection adds to smashed data, which the attacker does not know.
        """
        return self._gradients(x, target, noise, differentiable=True)

    def classes(self, shape: tuple[int, ...]) -> int:
        """Number of logits, for images of that shape [B, C, H, W]."""
        with self.model.evaluating(), torch.no_grad():
            return int(self.model.logits(torch.zeros(1, *shape[1:])).shape[1])

    def _gradients(self, x: Tensor, target: Tensor, noise: torch.Generator, *, differentiable: bool) -> Gradients:
        protection, model = self.model.protection, self.model
        labels = target.detach().argmax(1) if target.is_floating_point() else target
        with torch.enable_grad():
            z = model.client(protection.prepare(x, labels, model))
            # A cross entropy takes shares of classes in place of a class.
            total, crossing = model.server.loss(protection.release(z, noise), target)  # type: ignore[operator]
            own = crossing + protection.penalty(x, z)
            gradients = self._of(own, self.client, differentiable=differentiable, kept=self.everything)
            if self.everything:
                gradients += self._of(total, self.server, differentiable=differentiable, kept=differentiable)
        return gradients

    @staticmethod
    def _of(loss: Tensor, parameters: list[Tensor], *, differentiable: bool, kept: bool) -> Gradients:
        return torch.autograd.grad(
            loss,
            parameters,
            create_graph=differentiable,
            retain_graph=differentiable or kept,
            allow_unused=True,
            materialize_grads=True,
        )
