"""Ask a deployed model about one's own images, with or without a ledger."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attack.budget import BudgetedOracle
from attack.ledger import AttackIdentity, Ledger
from attack.oracle import Oracle
from foundation.answers import Answers
from foundation.errors import BudgetError, DataError, UsageError
from victim.loaders.pool import read_folder, read_npz


@dataclass(frozen=True)
class Asked:
    """Answers to the images that the budget allowed.

    Attributes:
        answers: one for each distinct image asked, in order; without a ledger and budget, one for each image.
        asked: how many of them went to the device.
        unanswered: how many images the budget left out.
        budget: the limit, if there was one.
    """

    answers: Answers
    asked: int
    unanswered: int
    budget: int | None

    def complete_or_fail(self) -> None:
        """Nothing, if every image was answered.

        Raises:
            BudgetError: the budget was spent before.
        """
        if self.unanswered:
            raise BudgetError(
                f"the budget of {self.budget} queries is spent, {self.unanswered} images are left",
                hint="the answers so far were given; a larger --budget goes on from the ledger",
            )


def read_images(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Images from a folder of pictures (made to fit) or the image arrays of an `.npz` (as they are).

    Raises:
        UsageError: nothing is there.
        DataError: no image, a bad one, or images of another shape than the model takes.
    """
    if not path.exists():
        raise UsageError(f"no images at {path}", hint="give a folder of pictures or an .npz")
    images = read_folder(path, shape) if path.is_dir() else read_npz(path)
    if not len(images):
        raise DataError(f"{path} holds no image")
    if images.shape[1:] != shape:
        raise DataError(
            f"{path} holds images {images.shape[1:]} (height, width, channels), the model takes {shape}",
            hint="bring the images to the model's size and channels first",
        )
    return images


def check_budget(ledger: Path | None, budget: int | None) -> None:
    """Whether the budget can be kept; told before a device is touched.

    Raises:
        UsageError: a budget without a ledger, or a budget below 1.
    """
    if budget is not None and ledger is None:
        raise UsageError("--budget counts in a ledger", hint="add --ledger FILE")
    if budget is not None and budget < 1:
        raise UsageError(f"a query budget of {budget} buys nothing", hint="give a budget of 1 or more")


def ask(oracle: Oracle, images: NDArray[np.uint8], ledger: Path | None, budget: int | None) -> Asked:
    """Query the oracle.

    Args:
        oracle: the deployed model.
        images: uint8 [N, H, W, C].
        ledger: file that remembers; None asks every image, repeated ones too.
        budget: at most so many new images; needs a ledger to count in.

    Raises:
        UsageError: a budget without a ledger, or a budget below 1.
    """
    check_budget(ledger, budget)
    if ledger is None:
        return Asked(oracle.query(images), len(images), 0, None)
    with Ledger(ledger) as opened:
        identity = AttackIdentity(oracle.identity, oracle.policy, "query")
        part = opened.attack(identity, oracle.classes)
        asking = BudgetedOracle(oracle, part, len(images) if budget is None else budget, in_order=False)
        answered = asking.ask(images, ["query"] * len(images))
        distinct = len(np.unique(images.reshape(len(images), -1), axis=0))
        return Asked(answered.answers, answered.asked, distinct - asking.spent, budget)
