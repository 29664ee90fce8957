"""Decision fusion: the streams' probabilities, weighed by how sure each is of each image (PSGL, Eq. 9-11)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from foundation.errors import UsageError


@dataclass(frozen=True)
class DecisionWeights:
    """What each stream counts for before its confidence is looked at; the paper's own values. At least one above 0."""

    recovered: float = 0.5
    fused: float = 0.3
    attacked: float = 0.2

    def __post_init__(self) -> None:
        weights = (self.recovered, self.fused, self.attacked)
        if min(weights) < 0 or not sum(weights) > 0:
            raise UsageError(f"decision weights {weights}", hint="give none below 0, and at least one above")


FUSED_ALONE = DecisionWeights(recovered=0, fused=1, attacked=0)


def shares(recovered: Tensor, fused: Tensor, attacked: Tensor, weights: DecisionWeights) -> tuple[Tensor, ...]:
    """gamma, rho and 1 - gamma - rho of Eq. 10 and 11: proportional to weight times largest probability.

    Args:
        recovered: probabilities float32 [B, classes].
        fused: the same of the fused stream.
        attacked: the same of the attacked stream.
        weights: of the streams.

    Returns:
        three of [B, 1], in the order of the arguments; each image's sum to 1.
    """
    streams = ((recovered, weights.recovered), (fused, weights.fused), (attacked, weights.attacked))
    sure = [weight * stream.amax(1, keepdim=True) for stream, weight in streams]
    whole = sure[0] + sure[1] + sure[2]
    return tuple(part / whole for part in sure)


def fuse(recovered: Tensor, fused: Tensor, attacked: Tensor, weights: DecisionWeights) -> Tensor:
    """Eq. 9: the streams' probabilities mixed by their `shares`; arguments as there. Rows sum to 1."""
    gamma, rho, rest = shares(recovered, fused, attacked, weights)
    return gamma * recovered + rho * fused + rest * attacked
