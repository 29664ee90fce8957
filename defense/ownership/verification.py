"""Is a suspect model a copy of ours? It is, if it has learnt answers that only our marked model gave."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from defense.ownership.key import fingerprint
from defense.ownership.registry import WatermarkSet
from defense.ownership.watermark import Watermark
from foundation.errors import DataError

# The paper's confidence: more than 1 - 2^-64 that an innocent model does not agree so often.
BITS = 64.0
# So improbable that it is worth a closer look, and no proof.
SUSPICION_BITS = 10.0

Verdict = Literal["copy", "suspicious", "no evidence"]


@dataclass(frozen=True)
class Verification:
    """What a suspect said of the registered watermark.

    Attributes:
        images: registered ones.
        agreements: of the suspect's labels with the altered answers.
        true_agreements: of the suspect's labels with what the victim had really said.
        innocent: probability that an innocent model agrees with one altered answer.
        bits: -log2 of the probability that an innocent model agrees so often or more; confidence is 1 - 2^-bits.
        verdict: `copy` above 64 bits, `suspicious` above 10.
    """

    images: int
    agreements: int
    true_agreements: int
    innocent: float
    bits: float
    verdict: Verdict

    @property
    def p_value(self) -> float:
        """Probability that an innocent model agrees so often or more."""
        return float(2.0**-self.bits)


def verify(
    suspect: NDArray[np.int64],
    registered: WatermarkSet,
    key: bytes,
    innocent: NDArray[np.int64] | None = None,
) -> Verification:
    """Judge a suspect by its answers to the registered images (Szyller et al. 2021, section on verification).

    An innocent model is taken to name each altered class as often as chance does, 1 / classes: generous to the suspect,
    since altered answers are wrong ones. Where a model of one's own, trained without the victim, agrees more often than
    that, its rate (add-one) is taken.

    Args:
        suspect: int64 [N], the suspect's labels of `registered.images`.
        registered: the watermark of a session.
        key: the owner's; each registered image must follow from it, so that nobody registers what suits him later.
        innocent: int64 [N], labels of such a model; None: there is none.

    Raises:
        DataError: an empty set, another key, or labels that are not one for each image.
    """
    count = len(registered)
    if not count:
        raise DataError("the watermark set is empty", hint="none of the session's answers was altered: ask more")
    _check(registered, key)
    if suspect.shape != (count,) or (innocent is not None and innocent.shape != (count,)):
        raise DataError(f"{len(suspect)} labels for {count} registered images")
    chance = 1 / registered.classes
    if innocent is not None:
        chance = max(chance, (1 + int((innocent == registered.answered).sum())) / (count + 1))
    agreements = int((suspect == registered.answered).sum())
    bits = max(0.0, -float(binom.logsf(agreements - 1, count, min(chance, 1.0))) / math.log(2))
    return Verification(count, agreements, int((suspect == registered.true).sum()), chance, bits, verdict_of(bits))


def verdict_of(bits: float) -> Verdict:
    """What so many bits of confidence prove."""
    return "copy" if bits > BITS else "suspicious" if bits > SUSPICION_BITS else "no evidence"


def _check(registered: WatermarkSet, key: bytes) -> None:
    if registered.key != fingerprint(key):
        raise DataError(
            f"the watermark set is of key {registered.key}, this is key {fingerprint(key)}",
            hint="give the key that the session was marked with",
        )
    shifts = Watermark(key, registered.rate).shifts(registered.images, registered.classes)
    if not shifts.all() or ((registered.true + shifts) % registered.classes != registered.answered).any():
        raise DataError("the watermark set holds images that this key does not mark", hint="it was tampered with")
