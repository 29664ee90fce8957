"""The images that thieves asked about, as contact sheets by the victim's answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.report.content import Picture, Section
from benchmarks.report.pictures import contact_sheet

_PER_ANSWER = 8
_SHEETS = 16
_TILE = 64


@dataclass(frozen=True)
class QueriedImages:
    """Some images of one thief.

    Attributes:
        pool: where they are from.
        strategy: what chose them.
        seed: of the thief.
        images: uint8 [N, height, width, 1 or 3].
        answers: int64 [N], the class that the victim answered to each.
    """

    pool: str
    strategy: str
    seed: int
    images: NDArray[np.uint8]
    answers: NDArray[np.int64]


def queried_section(
    queried: Sequence[QueriedImages], class_names: Sequence[str], pictures: dict[str, bytes]
) -> Section | None:
    """A sheet for each pool and strategy, of its first seed; None where no image is known.

    Args:
        queried: of any thieves.
        class_names: names of the answers.
        pictures: the sheets are added here, by file name.
    """
    first: dict[tuple[str, str], QueriedImages] = {}
    for one in sorted(queried, key=lambda one: (one.pool, one.strategy, one.seed)):
        if len(one.images):
            first.setdefault((one.pool, one.strategy), one)
    if not first:
        return None
    shown = list(first.values())[:_SHEETS]
    text = (
        "Some of the images that thieves put to the victim, in rows by what it answered. A class without images was "
        "never its answer to them."
    )
    if len(first) > len(shown):
        text += f" The first {len(shown)} of {len(first)} pools and strategies are shown."
    sheets = [_sheet(one, class_names, number, pictures) for number, one in enumerate(shown, start=1)]
    return Section("queried", "What thieves asked", (text,), sheets)


def _sheet(one: QueriedImages, class_names: Sequence[str], number: int, pictures: dict[str, bytes]) -> Picture:
    known = max(len(class_names), int(one.answers.max()) + 1)
    names = [*class_names, *(f"class {k}" for k in range(len(class_names), known))]
    file = f"queried_{number}.png"
    answered = [names[k] for k in np.unique(one.answers)]
    # Of hundreds of classes the rows of those that were never answered would only fill the page.
    rows = names if len(names) <= 2 * len(answered) + 8 else answered
    labels = np.array([rows.index(names[k]) for k in one.answers], np.int64) if rows is not names else one.answers
    pictures[file] = contact_sheet(one.images, labels, rows, _PER_ANSWER, _TILE)
    caption = f"Pool {one.pool}, strategy {one.strategy}, seed {one.seed}."
    if len(answered) == 1:
        caption += f" The victim answered {answered[0]} to all that were kept."
    return Picture(
        file, f"Contact sheet of queried images by answer: {', '.join(answered)}.", caption, png=pictures[file]
    )
