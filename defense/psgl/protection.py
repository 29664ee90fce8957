"""PSGL's client: attacks its own images, folds them, and adds the map as one more channel."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from defense.psgl.attacker import LocalNetwork
from defense.psgl.depth import CELL, SpaceToDepthConvolution, cell_means, space_to_depth
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
        """The attacked image folded, and the map's mean over each cell.

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
            return _bare(x)
        found = self._map(x, y, model, learning)
        attacked = (x + found).clamp(0, 1)
        return torch.cat([space_to_depth(attacked), cell_means(found)], 1)

    def attack(self, x: Tensor, y: Tensor | None, model: SplitModel) -> tuple[Tensor, Tensor]:
        """The attacked images, float32 [B, C, H, W] in [0, 1], and the map, of the same shape; see `prepare`."""
        found = self._map(x, y, model, learning=False)
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

    def _map(self, x: Tensor, y: Tensor | None, model: SplitModel, learning: bool) -> Tensor:
        if self.settings.slopes == "whole":
            return saliency_map(lambda image: model.judge(_bare(image)), x, y, self.settings.map)[0]
        own = self._own_for(x, model)

        def judge(image: Tensor) -> Tensor:
            cells = _bare(image)
            return own(model.client(cells) if self.settings.slopes == "head" else cells)

        with evaluating(model.client), torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            found, logits = saliency_map(judge, x, y, self.settings.map)
        if learning and y is not None and torch.is_grad_enabled():
            self._lesson = own.gradients(logits, y)
        return found

    def _own_for(self, x: Tensor, model: SplitModel) -> LocalNetwork:
        if self._own is None:
            # The client is not told the number of classes: it asks the server once, with an empty image.
            with torch.no_grad(), evaluating(model.client):
                empty = _bare(torch.zeros_like(x[:1]))
                seen = model.client(empty) if self.settings.slopes == "head" else empty
                self._own = LocalNetwork(seen.shape[1], model.judge(empty).shape[1])
        return self._own


def _bare(x: Tensor) -> Tensor:
    """Images folded, with an empty map."""
    cells = space_to_depth(x)
    return torch.cat([cells, torch.zeros_like(cells[:, :1])], 1)
