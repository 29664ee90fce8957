"""Who lies in the scanner, and where the slice is cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from victim.phantom.chance import Array, Chance
from victim.phantom.scanner import Scanner
from victim.phantom.shapes import Grid


@dataclass(frozen=True)
class Patients:
    """One entry for each image of a batch. Lengths are cm in a standard body, before `body_scale`.

    Attributes:
        female: bool [N].
        body_scale: float32 [N], of the standard body.
        chest_width: half the width of the thoracic cavity.
        chest_height: half its depth, front to back.
        muscle: thickness of the chest wall.
        fat: thickness of the fat under the skin.
        spine: the spine, off the middle.
        heart: size of the heart, 1 for the standard one.
        level: 0 at the bifurcation of the pulmonary trunk, 1 at the four chambers.
        expiration: 0 for a full breath held, 1 for none.
        pulmonary: enhancement of right heart and pulmonary arteries, HU.
        venous: of pulmonary veins, left heart; HU.
        aortic: of the aorta, HU.
        caval: of the superior vena cava, HU.
        rotation: roll on the table, radians.
        shift: float32 [N, 2], off the centre, cm.
    """

    female: NDArray[np.bool_]
    body_scale: Array
    chest_width: Array
    chest_height: Array
    muscle: Array
    fat: Array
    spine: Array
    heart: Array
    level: Array
    expiration: Array
    pulmonary: Array
    venous: Array
    aortic: Array
    caval: Array
    rotation: Array
    shift: Array

    @property
    def body_width(self) -> Array:
        """Half the width of the body, skin to skin."""
        return np.asarray(self.chest_width + self.muscle + self.fat + 0.4, np.float32)

    @property
    def body_height(self) -> Array:
        """Half its depth."""
        return np.asarray(self.chest_height + self.muscle + 0.8 * self.fat + 0.4, np.float32)

    @property
    def chambers(self) -> Array:
        """How much the heart's chambers fill the slice, 0 to 1."""
        return ramp(self.level, 0.25, 0.75)

    @property
    def trunk(self) -> Array:
        """How much of the pulmonary trunk and its two branches is in the slice, 0 to 1."""
        return ramp(self.level, 0.7, 0.4)


def ramp(values: Array, start: float, end: float) -> Array:
    """0 before `start`, 1 after `end`, smooth between."""
    share = np.clip((values - start) / (end - start), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def admit(person: Chance, moment: Chance, scanner: Scanner) -> Patients:
    """Draw patients.

    Args:
        person: what stays the same in all slices of a patient.
        moment: what changes from slice to slice.
        scanner: sets the contrast timing.
    """
    female = person.happens(0.45)
    expiration = np.clip(np.abs(person.normal(0, 0.35)) + moment.normal(0, 0.05), 0, 1).astype(np.float32)
    pulmonary = person.normal(*scanner.pulmonary_enhancement)
    late = np.clip(person.normal(*scanner.lateness), 0, 1).astype(np.float32)
    stoutness = person.normal(0, 1)
    return Patients(
        female=female,
        body_scale=person.normal(np.where(female, 0.94, 1.03).astype(np.float32), 0.04),
        chest_width=person.normal(12.7, 0.6) + 0.1 * stoutness - 0.5 * expiration,
        chest_height=person.normal(8.5, 0.5) + 0.1 * stoutness - 0.9 * expiration,
        muscle=person.normal(np.where(female, 1.3, 1.7).astype(np.float32), 0.15),
        fat=np.clip(1.5 + 0.7 * stoutness, 0.5, 3.6).astype(np.float32),
        spine=person.normal(0, 0.2),
        heart=np.clip(person.normal(1.0, 0.09) + 0.06 * expiration, 0.75, 1.3).astype(np.float32),
        level=np.clip(person.uniform(0, 0.9) + moment.uniform(-0.17, 0.17), 0, 1).astype(np.float32),
        expiration=expiration,
        pulmonary=pulmonary,
        venous=pulmonary * (0.62 + 0.4 * late) * person.uniform(0.84, 1.12),
        aortic=pulmonary * (0.38 + 0.6 * late) * person.uniform(0.85, 1.12),
        caval=pulmonary * (1.6 - 0.7 * late) * person.uniform(0.85, 1.2),
        rotation=person.normal(0, 0.075) + moment.normal(0, 0.008),
        shift=np.stack(
            [person.normal(0, 0.8) + moment.normal(0, 0.05), person.normal(0, 0.9) + moment.normal(0, 0.05)], axis=-1
        ),
    )


def lay_down(patients: Patients, person: Chance, scanner: Scanner, size: int) -> Grid:
    """Put the patients into the scanner: the field of view that the technologist sets, and the grid of pixels."""
    half_width = patients.body_width * person.uniform(0.83, 0.93) * scanner.field_of_view
    # Some fields are set for the person, some by habit: body sizes differ on the images too.
    by_habit = scanner.field_of_view * 14.2 / patients.body_scale
    half_width = (0.6 * half_width + 0.4 * np.maximum(by_habit, 0.92 * half_width)).astype(np.float32)
    shift = patients.shift + np.array([0.0, scanner.table_height], np.float32)
    return Grid(size, half_width, patients.rotation, shift.astype(np.float32))
