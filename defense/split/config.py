"""What client and server must agree on before the first step."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from defense.split.halves import SplitSettings
from foundation.files import sha256_bytes

WireType = Literal["float32", "bfloat16"]


class SplitConfig(BaseModel):
    """A split network and its training.

    Attributes:
        protection: by its name in `defense.protections`.
        image_shape: height, width, channels.
        classes: number of logits.
        depth: blocks that stay with the client.
        width: channels of the smashed data; None takes the plan's.
        seed: of weights, order, augmentation and noise.
        images: how many there are to train on.
        data_sha256: identifies them, where somebody asks.
        settings: of the training.
        wire: how smashed data and their gradients travel; bfloat16 halves the bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protection: str = "none"
    image_shape: tuple[int, int, int]
    classes: int = Field(gt=0)
    depth: int = 2
    width: int | None = None
    seed: int = Field(default=0, ge=0)
    images: int = Field(gt=0)
    data_sha256: str = Field(default="", max_length=64)
    settings: SplitSettings = SplitSettings()
    wire: WireType = "float32"

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.settings.epochs * self.settings.steps(self.images)

    @property
    def most_rows(self) -> int:
        """Images in one message at most: a step's, which may hold what is left over, or an inference's."""
        return max(-(-self.images // self.settings.steps(self.images)), TOGETHER)

    @property
    def sha256(self) -> str:
        """Identifies it."""
        return sha256_bytes(self.model_dump_json().encode())


# Images whose smashed data travel together at inference.
TOGETHER = 64


def software() -> str:
    """The edgecat that speaks: its version, or `source` where it is not installed."""
    try:
        return version("edgecat")
    except PackageNotFoundError:
        return "source"
