"""What PSGL's open points were decided to be: one record for the client, one for the server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from defense.psgl.decision import DecisionWeights
from defense.psgl.recovery import RecoverySettings
from defense.psgl.saliency import MapSettings
from foundation.errors import UsageError


@dataclass(frozen=True)
class ClientSettings:
    """The client's side.

    Attributes:
        map: how the map is made.
        slopes: of which network the map is made. `own`: a small one that the client trains along. `head`: the client's
            half with such a network after it. `whole`: both halves, for which the server is asked over the split at
            every step, at inference too, and gets the smashed data of the images before the attack.
        at_inference: whether images are attacked at inference too. If not, they leave with an empty map.
    """

    map: MapSettings = field(default_factory=MapSettings)
    slopes: Literal["own", "head", "whole"] = "own"
    at_inference: bool = True


@dataclass(frozen=True)
class ServerSettings:
    """The server's side.

    Attributes:
        recovery: how the map is taken out again.
        decision: weights of the decision fusion.
        stream_share: share of a batch that the attacked and the recovered stream each learn from, in (0, 1]; the fused
            stream learns from all.
    """

    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    decision: DecisionWeights = field(default_factory=DecisionWeights)
    stream_share: float = 0.125

    def __post_init__(self) -> None:
        if not 0 < self.stream_share <= 1:
            raise UsageError(f"a stream that learns from {self.stream_share} of a batch", hint="in (0, 1]")
