"""How far features lie from those of the training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from sklearn.covariance import ledoit_wolf

from foundation.errors import DataError


@dataclass(frozen=True)
class ClassGaussians:
    """One normal distribution for each class, all of one covariance (Lee et al. 2018, section 2.1, equations 1 and 2).

    Attributes:
        centre, scale: float64 [D], of all features.
        whitening: float64 [D, D]; whitened features have the identity as covariance.
        means: float64 [classes, D], whitened.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    whitening: NDArray[np.float64]
    means: NDArray[np.float64]

    @classmethod
    def fit(cls, features: NDArray[np.float64], labels: NDArray[np.int64]) -> ClassGaussians:
        """Fit to features float64 [N, D] of training images and their classes int64 [N].

        The covariance is shrunk (Ledoit & Wolf 2004): a few hundred images have more features than that.

        Raises:
            DataError: fewer than two images, or features that are not finite.
        """
        if len(features) < 2 or not np.isfinite(features).all():
            raise DataError(f"{len(features)} training images with finite features, two are needed")
        centre, deviation = features.mean(axis=0), features.std(axis=0)
        # A feature that never changes in training tells nothing at this scale.
        scale = np.where(deviation > 1e-9, deviation, 1.0)
        scaled = (features - centre) / scale
        classes, members = np.unique(labels, return_inverse=True)
        means = np.stack([scaled[members == number].mean(axis=0) for number in range(len(classes))])
        covariance = ledoit_wolf(scaled - means[members], assume_centered=True)[0]
        covariance[np.diag_indices_from(covariance)] += 1e-6
        lower = cholesky(covariance, lower=True)
        whitening = solve_triangular(lower, np.eye(len(lower)), lower=True)
        return cls(centre, scale, whitening, means @ whitening.T)

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared Mahalanobis distance of features float64 [N, D] to the nearest class, float64 [N]."""
        white = ((features - self.centre) / self.scale) @ self.whitening.T
        return np.asarray(np.min([((white - mean) ** 2).sum(axis=1) for mean in self.means], axis=0))
