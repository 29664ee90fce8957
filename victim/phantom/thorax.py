"""Body, chest wall and lungs, in Hounsfield units."""

from __future__ import annotations

import numpy as np

from victim.phantom.chance import Array, Chance
from victim.phantom.organs import silhouette, vertebra
from victim.phantom.patient import Patients
from victim.phantom.scanner import Scanner
from victim.phantom.shapes import Capsules, Grid, per_image

AIR, FAT, MUSCLE, TABLE = -1000.0, -100.0, 55.0, -350.0
MEDIASTINAL_FAT = -70.0


def blend(image: Array, coverage: Array, value: Array | float) -> None:
    """Fill `coverage` of `image`, in place, with `value` (one number, or float32 that broadcasts to the image)."""
    change = value - image
    change *= coverage
    image += change


def body(grid: Grid, patients: Patients, scanner: Scanner, person: Chance) -> tuple[Array, Array]:
    """Skin to pleura: table, fat, breasts, muscle.

    Returns:
        the image so far, float32 [N, size, size] HU, and the coverage of the body.
    """
    image = np.full(grid.x.shape, AIR, np.float32)
    level = np.zeros_like(patients.fat)
    _table(image, grid, patients, scanner)
    skin = grid.oval(level, level + 0.6, patients.body_width, patients.body_height, 0.7)
    _breasts(skin, grid, patients, person)
    blend(image, skin, FAT)
    muscle = grid.oval(
        level, level + 0.6, patients.chest_width + patients.muscle + 0.3, patients.chest_height + patients.muscle, 0.7
    )
    blend(image, muscle, MUSCLE)
    return image, skin


def _table(image: Array, grid: Grid, patients: Patients, scanner: Scanner) -> None:
    across = grid.across[:, None, :]
    sag = grid.down[:, :, None] - per_image(patients.body_height + 1.1) + scanner.table_curve * across**2
    line = np.clip((0.45 - np.abs(sag)) / per_image(grid.pixel) + 0.5, 0, 1)
    line *= np.abs(across) < 19
    blend(image, line.astype(np.float32), TABLE)


def _breasts(skin: Array, grid: Grid, patients: Patients, person: Chance) -> None:
    """Breasts of a woman on her back: low and to the sides."""
    large = person.uniform(0.6, 1.5)
    lateral = patients.chest_width * person.uniform(0.5, 0.62)
    front = -patients.body_height * 0.74
    for side in (-1, 1):
        breast = grid.oval(side * lateral, front, 3.6 + 0.8 * large, 1.9 + 0.9 * large)
        breast *= per_image(patients.female.astype(np.float32))
        np.maximum(skin, breast, out=skin)


def lungs(grid: Grid, patients: Patients, image: Array, texture: Array, person: Chance) -> Array:
    """Fill the thoracic cavity with mediastinal fat and lungs.

    Args:
        grid: of the batch.
        patients: of the batch.
        image: HU, changed in place.
        texture: float32 [N, size, size], deviation 1, slowly varying.
        person: chance of the patient.

    Returns:
        coverage of both lungs, float32 [N, size, size].
    """
    zero = np.zeros_like(patients.fat)
    cavity = grid.oval(zero, zero, patients.chest_width, patients.chest_height, 0.7)
    blend(image, cavity, MEDIASTINAL_FAT)
    breadth = person.normal(2.9, 0.25) + 0.1 * patients.fat
    middle = grid.oval(person.normal(0.1, 0.25), zero - 0.9, breadth, zero + 8.8)
    solid = grid.union(Capsules.joined(silhouette(patients), vertebra(patients).grown(0.5)))
    np.maximum(solid, middle, out=solid)
    lung = cavity * (1 - solid)
    air = texture
    air *= per_image(person.uniform(16, 40))
    # Blood sinks: the back of a lung is denser, more so when breathed out.
    air += grid.y * per_image(4 + 12 * patients.expiration)
    air += per_image(-865 + 150 * patients.expiration + person.normal(0, 14))
    blend(image, lung, air)
    return lung
