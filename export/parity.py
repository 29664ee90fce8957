"""The parity gate: a file answers as the network it was made from, or it is not shipped.

Eager network against exported graph against the file in its runtime, on images used neither in training nor in
calibration. The runtime's side goes through the same code that answers on the device (`edge.runner.engines`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.runner.engines import Classifier, load_engine
from export.recipes import Recipe
from foundation.errors import CheckFailed, DataError
from foundation.manifest import Artifact

# Fewer images than this say too little about a top-1 agreement of 0.96.
MIN_IMAGES = 500


@dataclass(frozen=True)
class Parity:
    """How far a file's logits are from its network's.

    Attributes:
        images: how many were compared.
        agreement: share of images with the same top-1 class, file in its runtime against eager network.
        exported_agreement: the same, exported graph against eager network.
        rms: root mean square difference of logits, file against eager.
        max_abs: largest difference of a logit, file against eager.
        exported_rms: rms, exported graph against eager.
        min_agreement: the recipe's bound on `agreement`.
        max_rms: the recipe's bound on `rms`: its relative bound times the standard deviation of the eager logits.
    """

    images: int
    agreement: float
    exported_agreement: float
    rms: float
    max_abs: float
    exported_rms: float
    min_agreement: float
    max_rms: float

    @property
    def ok(self) -> bool:
        """Whether both bounds hold."""
        return self.agreement >= self.min_agreement and self.rms <= self.max_rms


def runtime_logits(artifact: Artifact, images: NDArray[np.uint8], threads: int = 1) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of the file in its runtime, in this process, for uint8 images [N, H, W, C].

    Raises:
        ArtifactError: the runtime refuses the file, or it does not fit its manifest.
    """
    return runtime_classifier(artifact, threads).logits(images)


def runtime_classifier(artifact: Artifact, threads: int = 1) -> Classifier:
    """The file loaded in its runtime, in this process; errors as in `runtime_logits`."""
    manifest = artifact.manifest
    engine = load_engine(manifest.runtime, artifact.path.read_bytes(), threads)
    return Classifier(engine, manifest.image.shape, manifest.image.mean, manifest.image.std, manifest.input.layout)


def check_count(images: int) -> None:
    """Whether so many images are enough to compare on.

    Raises:
        DataError: they are not.
    """
    if images < MIN_IMAGES:
        raise DataError(f"the parity gate has {images} images, it needs {MIN_IMAGES} that nobody trained on")


def compare(
    eager: NDArray[np.float32], exported: NDArray[np.float32], runtime: NDArray[np.float32], recipe: Recipe
) -> Parity:
    """Hold three sets of logits [N, classes] against each other.

    Raises:
        DataError: fewer than `MIN_IMAGES` images.
    """
    check_count(len(eager))
    best = eager.argmax(1)
    return Parity(
        images=len(eager),
        agreement=float((runtime.argmax(1) == best).mean()),
        exported_agreement=float((exported.argmax(1) == best).mean()),
        rms=rms(runtime - eager),
        max_abs=float(np.abs(runtime - eager).max()),
        exported_rms=rms(exported - eager),
        min_agreement=recipe.min_agreement,
        max_rms=recipe.max_relative_rms * float(eager.std()),
    )


class Measured(Protocol):
    """What the gate looks at: a `Parity`, or the record of one."""

    @property
    def images(self) -> int: ...
    @property
    def agreement(self) -> float: ...
    @property
    def min_agreement(self) -> float: ...
    @property
    def rms(self) -> float: ...
    @property
    def max_rms(self) -> float | None: ...
    @property
    def ok(self) -> bool: ...


def demand(parity: Measured, name: str, parts_at: str | None = None) -> None:
    """The gate.

    Args:
        parity: what was measured.
        name: of the file.
        parts_at: the first layer that is off, where it is known.

    Raises:
        CheckFailed: a bound does not hold.
    """
    if not parity.ok:
        limit = "no bound" if parity.max_rms is None else f"at most {parity.max_rms:.3g}"
        raise CheckFailed(
            f"{name} fails the parity gate on {parity.images} images: agreement {parity.agreement:.4f} "
            f"(at least {parity.min_agreement}), rms of the logits {parity.rms:.3g} ({limit})"
            f"{'' if parts_at is None else f'; it parts at layer {parts_at}'}",
            hint="this file does not answer as its network does: do not ship it",
        )


def rms(difference: NDArray[np.float32]) -> float:
    """Root of the mean square, of differences of logits of any shape."""
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
