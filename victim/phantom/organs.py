"""What stands between and around the lungs: heart, great vessels, airways, bones."""

from __future__ import annotations

import numpy as np

from victim.phantom.chance import Array, Chance
from victim.phantom.patient import Patients
from victim.phantom.shapes import Capsules, Grid

SOFT, MYOCARDIUM, AIRWAY = 45.0, 100.0, -950.0
MARROW, CORTEX, CANAL = 230.0, 600.0, 40.0
_RIBS_A_SIDE = 8


def vertebra(patients: Patients) -> Capsules:
    """Outline of the vertebral body."""
    y = _back(patients) - 2.4
    return Capsules.of((patients.spine - 0.75, y, patients.spine + 0.75, y, 1.7))


def silhouette(patients: Patients) -> Capsules:
    """What the mediastinum pushes into the lungs: heart, great vessels, descending aorta, hila."""
    heart = _chambers(patients).grown(0.35).where(patients.chambers[:, None] > 0)
    aorta_x, aorta_y = _descending(patients)
    vessels = Capsules.of(
        (1.8, -4.0, 2.6, -1.3, 1.9 * patients.trunk),
        (-1.6, -2.6, -3.0, -1.5, 1.5),
        (aorta_x, aorta_y, aorta_x, aorta_y, 1.5),
        (-3.2, 1.2, 3.3, 1.5, 1.2),
    )
    return Capsules.joined(heart, vessels)


def paint_mediastinum(image: Array, grid: Grid, patients: Patients, person: Chance) -> None:
    """Paint heart, great vessels, gullet and airways over mediastinal fat (`image`, HU, is changed in place)."""
    trunk, chambers = patients.trunk, patients.chambers
    aorta_x, aorta_y = _descending(patients)
    calibre = person.normal(1.0, 0.09)
    left_blood = 0.5 * (patients.venous + patients.aortic)
    grid.paint(
        image,
        _chambers(patients),
        np.stack([np.full_like(trunk, MYOCARDIUM), left_blood, *(patients.pulmonary,) * 2, patients.venous], axis=-1),
    )
    root_x, root_y = -1.6 + 1.3 * chambers, -2.6 + 0.7 * chambers
    great = Capsules.of(
        (root_x, root_y, root_x, root_y, 1.65 * calibre),
        (aorta_x, aorta_y, aorta_x, aorta_y, 1.2 * calibre),
        (-3.4, -1.8, -3.3, -1.5, 0.85 * (1 - chambers)),
        (0.4, 3.1, 0.9, 3.1, 0.6 * person.uniform(0.8, 1.2)),
        (-1.5, 1.7, -3.1, 2.0, 0.62 * trunk),
        (0.9, 1.7, 2.8, 2.0, 0.58 * trunk),
        (-3.6, 2.4, -3.7, 2.6, 0.42),
        (3.7, 2.9, 3.8, 3.1, 0.4),
    )
    blood = [patients.aortic, patients.aortic, patients.caval]
    still = [np.full_like(trunk, value) for value in (SOFT, AIRWAY, AIRWAY, AIRWAY, AIRWAY)]
    grid.paint(image, great, np.stack(blood + still, axis=-1))


def paint_bones(image: Array, grid: Grid, patients: Patients, person: Chance) -> None:
    """Paint spine, ribs, breast bone and shoulder blades (`image`, HU, is changed in place)."""
    outer, spine, back = vertebra(patients), patients.spine, _back(patients)
    dense = person.normal(1.0, 0.15)
    grid.paint(image, outer, CORTEX * dense[:, None])
    grid.paint(image, outer.grown(-0.4), MARROW * dense[:, None])
    arch = Capsules.of(
        (spine - 1.5, back - 1.1, spine - 3.4, back + 0.2, 0.5),
        (spine + 1.5, back - 1.1, spine + 3.4, back + 0.2, 0.5),
        (spine - 1.4, back - 0.3, spine, back + 1.3, 0.42),
        (spine + 1.4, back - 0.3, spine, back + 1.3, 0.42),
        (spine, back + 1.3, spine, back + 2.3, 0.38),
    )
    front = -patients.chest_height - 0.4
    sternum = Capsules.of((spine - 1.4, front, spine + 1.4, front, 0.65))
    bones = Capsules.joined(arch, sternum, _ribs(patients, person), _blades(patients, person))
    grid.paint(image, bones, np.repeat((0.85 * CORTEX * dense)[:, None], bones.tail.shape[1], axis=1))
    grid.paint(
        image, Capsules.of((spine, back - 0.25, spine, back - 0.25, 0.8)), np.full((len(spine), 1), CANAL, np.float32)
    )


def _chambers(patients: Patients) -> Capsules:
    """Left ventricle's wall, its blood, right ventricle, right atrium, left atrium."""
    size = patients.heart * patients.chambers
    return Capsules.of(
        (1.6, -3.4, 4.7, -2.3, 2.9 * size),
        (2.9, -2.7, 4.9, -2.0, 1.75 * size),
        (-0.9, -4.4, 2.3, -5.1, 1.75 * size),
        (-2.9, -2.6, -2.5, -0.9, 2.0 * size),
        (-1.2, 1.0, 1.9, 1.3, 1.6 * size),
    )


def _back(patients: Patients) -> Array:
    """How far back the thoracic cavity reaches."""
    return patients.chest_height


def _descending(patients: Patients) -> tuple[Array, Array]:
    return patients.spine + 2.2, _back(patients) - 4.4 + 0.5 * patients.level


def _ribs(patients: Patients, person: Chance) -> Capsules:
    """Ribs run down and forward, so that a slice cuts them into an arc of short pieces around the lungs."""
    count = len(patients.fat)
    even = np.linspace(-1.15, 1.2, _RIBS_A_SIDE, dtype=np.float32)
    drift = person.uniform(-0.15, 0.15)[:, None]
    angle = even + drift + person.uniforms(_RIBS_A_SIDE, -0.05, 0.05)
    width, height = (patients.chest_width + 0.65)[:, None], (patients.chest_height + 0.65)[:, None]
    half = person.uniforms(_RIBS_A_SIDE, 0.4, 1.3)
    sides = []
    for side in (-1.0, 1.0):
        # A squarish oval, as the cavity: the corner bulges.
        bulge = 1 + 0.1 * np.sin(2 * angle) ** 2
        middle = np.stack([side * width * bulge * np.cos(angle), height * bulge * np.sin(angle)], axis=-1)
        tangent = np.stack([-side * width * np.sin(angle), height * np.cos(angle)], axis=-1)
        tangent *= (half / np.sqrt((tangent**2).sum(axis=-1)))[..., None]
        radius = np.full((count, _RIBS_A_SIDE), 0.42, np.float32)
        tail, head = (middle - tangent).astype(np.float32), (middle + tangent).astype(np.float32)
        sides.append(Capsules(tail, head, radius, radius))
    return Capsules.joined(*sides)


def _blades(patients: Patients, person: Chance) -> Capsules:
    """Shoulder blades behind the ribs; the arms are up."""
    x, y = patients.chest_width * 0.8 + 1.9, patients.chest_height * 0.62 + 2.0
    turn = person.uniform(0.5, 0.8)
    length = person.uniform(1.2, 2.2)
    across, down = length * np.cos(turn), -length * np.sin(turn)
    return Capsules.of(
        (-x - across, y + down, -x + across, y - down, 0.32 * (1 - 0.7 * patients.chambers)),
        (x + across, y + down, x - across, y - down, 0.32 * (1 - 0.7 * patients.chambers)),
    )
