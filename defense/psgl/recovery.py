"""The server takes the map out of smashed data again, by a proximal gradient (PSGL, section IV-C, Eq. 2-5).

The map component M of an image's smashed data X, a C x HW matrix, is what `min mu * lambda * |M|_* + mu * f(M)` with
f = |X - M|^2 / 2 comes to: from M = 0, a step along the slope M - X of length mu, then a soft-threshold of the singular
values at mu * lambda. Every iterate has the singular vectors of X, so that the iteration runs on its singular values
alone, and k steps give

    M_k = (1 - (1 - mu)^k) * S(X),    S: the soft-threshold at lambda

exactly (a test iterates literally). mu and k are a factor, no more; at mu = 0.55 ten steps leave 0.0003 of it away.
The singular vectors come from the C x C Gram matrix, at a thirtieth of the cost of `torch.linalg.svd`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from foundation.errors import DataError, UsageError

# torch exports it for mypy from nowhere.
_NoConvergence: type[RuntimeError] = torch.linalg.LinAlgError  # type: ignore[attr-defined]


@dataclass(frozen=True)
class RecoverySettings:
    """How the recovered stream is made.

    Attributes:
        threshold: lambda, as a share of each image's largest singular value, in [0, 1].
        mu: the step's length, in (0, 1]; the paper's Fig. 3 has its lowest error at 0.55.
        iterations: steps, k.
        keeps: `residual` takes the soft-threshold's result for the map and keeps the rest: singular values cut off at
            lambda. `low_rank` takes the rest for the map and keeps the result: small singular values fall away.
    """

    threshold: float = 0.1
    mu: float = 0.55
    iterations: int = 10
    keeps: Literal["residual", "low_rank"] = "residual"

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 < self.mu <= 1 and self.iterations >= 1):
            raise UsageError("a recovery wants a threshold in [0, 1], mu in (0, 1], and at least one iteration")


def recovery(z: Tensor, settings: RecoverySettings) -> Tensor:
    """The matrix of each image by which its channels are multiplied so that the map is gone.

    What remains is scaled up to the norm of what came, since it is small and streams share a network.

    Args:
        z: floating point [B, C, H, W].
        settings: how.

    Returns:
        [B, C, C], symmetric, without a graph: gradients take it for given. What an exact derivative adds grows without
        bound where two singular values meet.

    Raises:
        DataError: `z` holds no numbers, or ones too large to multiply, or no decomposition converges.
    """
    sigma, vectors = _decomposed(z.detach().flatten(2))
    reached = 1 - (1 - settings.mu) ** settings.iterations
    kept = reached * _softened(sigma, settings.threshold * sigma[:, -1:])
    if settings.keeps == "residual":
        kept = 1 - kept
    norm, left = sigma.norm(dim=1, keepdim=True), (kept * sigma).norm(dim=1, keepdim=True)
    return _composed(vectors, torch.where(left > 0, kept * norm / left, 0.0))


def recovered(z: Tensor, settings: RecoverySettings) -> Tensor:
    """Smashed data without the map, each image by itself: `recovery` carried out, as [B, C, H, W]."""
    return mixed(recovery(z, settings), z)


def mixed(matrices: Tensor, z: Tensor, bias: Tensor | None = None) -> Tensor:
    """Each image's channels [B, C, H, W] multiplied by its matrix [B, C, C], plus bias [C]; channels_last in memory."""
    columns, transposed = z.flatten(2).mT, matrices.mT
    product = columns @ transposed if bias is None else torch.baddbmm(bias, columns, transposed)
    return product.mT.view_as(z)


def soft_threshold(matrices: Tensor, threshold: float) -> Tensor:
    """The proximal operator of the nuclear norm: every singular value less `threshold`, but not less than 0.

    In float32 singular values below a thousandth of the largest are inexact.

    Args:
        matrices: floating point [B, C, N].
        threshold: in the matrices' own unit.

    Raises:
        DataError: as in `recovery`.
    """
    sigma, vectors = _decomposed(matrices)
    return _composed(vectors, _softened(sigma, torch.full_like(sigma, threshold))) @ matrices


def _composed(vectors: Tensor, factors: Tensor) -> Tensor:
    return (vectors * factors[:, None, :]) @ vectors.mT


def _softened(sigma: Tensor, threshold: Tensor) -> Tensor:
    """The factor max(sigma - threshold, 0) / sigma, which is 0 for a matrix of zeros."""
    return torch.where(sigma > threshold, 1 - threshold / sigma, 0.0)


def _decomposed(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Singular values [B, C], ascending, and left singular vectors [B, C, C] of matrices [B, C, N]."""
    gram = matrices @ matrices.mT
    if not bool(torch.isfinite(gram).all()):
        raise DataError("smashed data from which no map can be recovered: not a number, or too large")
    try:
        squares, vectors = torch.linalg.eigh(gram)
    except _NoConvergence:
        return _decomposed_slowly(matrices)
    return squares.clamp_min(0).sqrt(), vectors


def _decomposed_slowly(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Where the eigenvalues of a Gram matrix do not converge: without it, in double precision."""
    try:
        vectors, sigma, _ = torch.linalg.svd(matrices.double(), full_matrices=True)
    except _NoConvergence as error:
        raise DataError("the singular values of an image's smashed data do not converge") from error
    # Where C > N there are fewer singular values than vectors: the rest are 0.
    sigma = functional.pad(sigma, (0, matrices.shape[1] - sigma.shape[1]))
    return sigma.flip(-1).to(matrices.dtype), vectors.flip(-1).to(matrices.dtype)
