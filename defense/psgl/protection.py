"""PSGL's client: attacks its own images, folds them, and adds the map as one more channel."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from defense.psgl.attacker import LocalNetwork
from defense.psgl.depth import CELL, SpaceToDepthConvolution, depth_to_space, space_to_depth
from defense.psgl.saliency import saliency_map
from defense.psgl.server import StreamServer, evaluating
from defense.psgl.settings import ClientSettings, ServerSettings
from defense.split.protection import Protection
from foundation.errors import UsageError
from victim.step import has_bf16

if TYPE_CHECKING:
    from defense.split.model import SplitModel


class PSGL(Protection):
    """Proximal gradient split learning, both sides.

    Nothing that `prepare` does changes what it gives next time: the client's own network takes its step in `learn`,
    which ends a step of training.

    Args:
        settings: of the client.
        server: of the server.
    """

    name = "psgl"

    def __init__(self, settings: ClientSettings | None = None, server: ServerSettings | None = None) -> None:
        self.settings, self.server_settings = settings or ClientSettings(), server or ServerSettings()
        self._image_channels: int | None = None
        self._own: LocalNetwork | None = None
        self._lesson: tuple[Tensor, ...] | None = None

    def channels(self, image_channels: int) -> int:
        """Four for each of the image's, and the map."""
        self._image_channels = image_channels
        return image_channels * CELL**2 + 1

    def shrinks(self) -> int:
        """Space to depth halves height and width."""
        return CELL

    def prepare(self, x: Tensor, y: Tensor | None, model: SplitModel) -> Tensor:
        """The attacked image folded, and the map's mean over each cell and its channels.

        In training images are attacked always, at inference by `ClientSettings.at_inference`. Differentiable in `x`
        with the map held fixed.

        Args:
            x: float32 [B, C, H, W] in [0, 1].
            y: int64 [B], true classes; None at inference.
            model: what is being trained.

        Returns:
            float32 [B, 4C + 1, ceil(H / 2), ceil(W / 2)], in [0, 1].

        Raises:
            DataError: the slopes are no numbers.
        """
        learning = y is not None and model.client.training
        if not (learning or self.settings.at_inference):
            return _with_empty_map(space_to_depth(x))
        cells = space_to_depth(x)
        found = self._map(cells, _inside(x), y, model, learning)
        return torch.cat([(cells + found).clamp(0, 1), found.mean(1, keepdim=True)], 1)

    def attack(self, x: Tensor, y: Tensor | None, model: SplitModel) -> tuple[Tensor, Tensor]:
        """The attacked images, float32 [B, C, H, W] in [0, 1], and the map, of the same shape; see `prepare`."""
        found = depth_to_space(self._map(space_to_depth(x), _inside(x), y, model, learning=False), *x.shape[2:])
        return (x + found).clamp(0, 1), found

    def on_device(self) -> nn.Module:
        """Images folded, with an empty map: a device has no slopes. What `prepare` gives without `at_inference`.

        Raises:
            UsageError: nobody has said yet how many channels an image has (`build_split` does).
        """
        if self._image_channels is None:
            raise UsageError("PSGL for a device, but of images of how many channels?", hint="build the network first")
        return SpaceToDepthConvolution(self._image_channels, empty=1)

    def learn(self, x: Tensor, z: Tensor) -> None:
        """A step of the client's own network, on the images before the attack."""
        if self._own is not None and self._lesson is not None:
            self._own.learn(self._lesson)
        self._lesson = None

    def server(self, z_shape: tuple[int, int, int], depth: int, classes: int) -> nn.Module:
        """See `Protection.server`."""
        return StreamServer(z_shape[0], depth, classes, self.server_settings)

    def bare(self) -> PSGL:
        """The same client, own network shared, that attacks no image at inference: what a device does."""
        other = copy.copy(self)
        other.settings = replace(self.settings, at_inference=False)
        return other

    def state(self) -> dict[str, Tensor]:
        """That of the client's own network, once there is one."""
        return {} if self._own is None else self._own.state()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave.

        Raises:
            ArtifactError: it is of something else.
        """
        self._lesson = None
        self._own = LocalNetwork.of(state) if state else None

    def _map(self, cells: Tensor, inside: Tensor | None, y: Tensor | None, model: SplitModel, learning: bool) -> Tensor:
        """The map of folded images, folded as they are: the same numbers in another order, and no time lost."""
        own = None if self.settings.slopes == "whole" else self._own_for(cells, model)

        def judge(seen: Tensor) -> Tensor:
            # What an odd size is filled up with is not to be attacked.
            seen = seen if inside is None else seen * inside
            if own is None:
                return model.judge(_with_empty_map(seen))
            return own(model.client(_with_empty_map(seen)) if self.settings.slopes == "head" else seen)

        with evaluating(model.client), torch.autocast("cpu", torch.bfloat16, enabled=own is not None and has_bf16()):
            found, logits = saliency_map(judge, cells, y, self.settings.map)
        if own is not None and y is not None and learning and torch.is_grad_enabled():
            self._lesson = own.gradients(logits, y)
        return found

    def _own_for(self, cells: Tensor, model: SplitModel) -> LocalNetwork:
        if self._own is None:
            # The client is not told the number of classes: it asks the server once, with an empty image.
            with torch.no_grad(), evaluating(model.client):
                empty = torch.zeros_like(cells[:1])
                seen = model.client(_with_empty_map(empty)) if self.settings.slopes == "head" else empty
                self._own = LocalNetwork(seen.shape[1], model.judge(_with_empty_map(empty)).shape[1])
        return self._own


def _with_empty_map(cells: Tensor) -> Tensor:
    return torch.cat([cells, torch.zeros_like(cells[:, :1])], 1)


def _inside(x: Tensor) -> Tensor | None:
    """1 for each number of a folded image that is a pixel, 0 for what fills up an odd size; None for even sizes."""
    return space_to_depth(torch.ones_like(x[:1])) if x.shape[2] % CELL or x.shape[3] % CELL else None
