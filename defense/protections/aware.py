"""Ours: a client that trains against the attacker who will try to read it, and sends little."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from defense.inversion.networks import build_decoder
from defense.split.protection import Protection
from defense.split.state import load_network, load_optimizer_state, optimizer_state, prefixed, under
from foundation.errors import UsageError

_RATE = 2e-3
_WIDTH = 256
# Of the running mean image: some hundred steps' worth.
_MEMORY = 0.98


class AttackerAware(Protection):
    """Decoders in the loop: they learn to read the smashed data, the client learns to leave them nothing to read.

    After ResSFL (Li et al. 2022, "ResSFL: A Resistance Transfer Framework for Defending Model Inversion Attack in Split
    Federated Learning"), whose client makes its decoder's error large. That rewards smashed data that mislead
    one decoder (the same content with another sign) as much as those that say less, and the next decoder reads them.
    Here the client makes the decoders' drawings alike instead. Of the best decoder, whose drawing is the mean of all
    images that the smashed data allow, the drawings' variance is what it saves of the mean image's error; so the two
    goals agree where the decoder is good, and this one has no gain in misleading it.

    There are several decoders, forgotten in turn, and they draw thumbnails: small networks learn those as fast as the
    client changes.

    `depth` and `width` are the cut that it was measured with (docs/inversion.md); at another it is another defence.

    Attributes:
        warmup: steps over which the penalty rises to its weight.
        forgets: steps after which the next decoder is forgotten.
        thumbnail: side of what the decoders draw, at most.

    Args:
        weight: of the penalty, which is about 1 where the decoders meet the image and 0 where they all draw the same.
        opponents: how many decoders.
        practice: steps of each decoder for one of the client's.
        seed: of the decoders' weights.
    """

    depth = 7
    width = 4
    warmup = 200
    forgets = 150
    thumbnail = 16

    def __init__(self, weight: float = 0.5, *, opponents: int = 2, practice: int = 2, seed: int = 0) -> None:
        if not 0 < weight < float("inf"):
            raise UsageError(f"a decoder in the loop of weight {weight:g}", hint="use more than 0, as in aware:0.5")
        if opponents < 1 or practice < 1:
            raise UsageError(f"{opponents} decoders in the loop of {practice} steps each are no opponents")
        self.weight, self.practice, self.seed = weight, practice, seed
        self.name = f"aware:{weight:g}"
        self.steps = 0
        self.opponents: list[_Opponent | None] = [None] * opponents
        self.mean: Tensor | None = None

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """Weight times the variance of what the decoders draw of this batch, in units of the images' own."""
        small = self._small(x)
        assert self.mean is not None
        blind = (small - self.mean).square().mean().clamp_min(1e-6)
        drawn = torch.stack([self._opponent(place, z).drawn(z) for place in range(len(self.opponents))])
        told = (drawn - drawn.mean(1, keepdim=True)).square().mean() / blind
        return self.weight * min(1.0, self.steps / self.warmup) * told

    def learn(self, x: Tensor, z: Tensor) -> None:
        """The decoders' steps on images and their smashed data."""
        small = self._small(x)
        self._forget()
        assert self.mean is not None
        self.mean = _MEMORY * self.mean + (1 - _MEMORY) * small.mean(0)
        for place in range(len(self.opponents)):
            opponent = self._opponent(place, z)
            for _ in range(self.practice):
                opponent.learn(z, small)
        self.steps += 1

    def state(self) -> dict[str, Tensor]:
        """Decoders, their optimisers, the mean thumbnail, the steps done."""
        if self.mean is None:
            return {}
        kept = {"mean": self.mean, "steps": torch.tensor(self.steps)}
        for place, opponent in enumerate(self.opponents):
            if opponent is not None:
                kept |= prefixed(f"opponent{place}", opponent.state())
        return kept

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            ArtifactError: it is of other decoders.
        """
        if not state:
            return
        self.mean, self.steps = state["mean"].clone(), int(state["steps"])
        for place in range(len(self.opponents)):
            kept = under(f"opponent{place}", state)
            self.opponents[place] = _Opponent.restored(kept, self.mean) if kept else None

    def _small(self, x: Tensor) -> Tensor:
        side = (min(self.thumbnail, x.shape[2]), min(self.thumbnail, x.shape[3]))
        small = functional.adaptive_avg_pool2d(x.detach(), side)
        if self.mean is None:
            self.mean = small.mean(0)
        return small

    def _forget(self) -> None:
        """One opponent in turn starts anew."""
        if self.steps and self.steps % self.forgets == 0:
            self.opponents[self.steps // self.forgets % len(self.opponents)] = None

    def _opponent(self, place: int, z: Tensor) -> _Opponent:
        opponent = self.opponents[place]
        if opponent is None:
            assert self.mean is not None
            # A function of the step, so that a resumed client meets the same opponents.
            seed = (self.seed << 40) ^ (self.steps << 8) ^ place
            opponent = _Opponent((z.shape[1], z.shape[2], z.shape[3]), self.mean, seed)
            self.opponents[place] = opponent
        return opponent


class _Opponent:
    """A decoder in the loop and its optimiser."""

    def __init__(self, shape: tuple[int, int, int], mean: Tensor, seed: int = 0) -> None:
        self.shape = shape
        self.decoder = build_decoder("dense", shape, mean, torch.Generator().manual_seed(seed), _WIDTH)
        self.optimizer = torch.optim.Adam(self.decoder.parameters(), _RATE)

    def drawn(self, z: Tensor) -> Tensor:
        """Its thumbnails, differentiable in z alone."""
        frozen = {name: parameter.detach() for name, parameter in self.decoder.named_parameters()}
        images: Tensor = torch.func.functional_call(self.decoder, frozen, (z,))
        return images

    def learn(self, z: Tensor, images: Tensor) -> None:
        loss = functional.mse_loss(self.decoder(z), images)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def state(self) -> dict[str, Tensor]:
        kept = prefixed("decoder", self.decoder.state_dict()) | prefixed("optimizer", optimizer_state(self.optimizer))
        return kept | {"shape": torch.tensor(self.shape)}

    @classmethod
    def restored(cls, state: dict[str, Tensor], mean: Tensor) -> _Opponent:
        channels, height, width = (int(n) for n in state["shape"])
        opponent = cls((channels, height, width), mean)
        load_network(opponent.decoder, under("decoder", state), "decoder in the loop")
        load_optimizer_state(opponent.optimizer, under("optimizer", state))
        return opponent
