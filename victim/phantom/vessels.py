"""The pulmonary vessels: trunk and branches in the mediastinum, trees of arteries and veins in the lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from victim.phantom.chance import Array, Chance
from victim.phantom.patient import Patients
from victim.phantom.shapes import Capsules, Grid

# Of each generation of a tree: length and radius at its start, cm.
_GENERATIONS = ((3.4, 0.64), (2.6, 0.34), (2.1, 0.17), (1.6, 0.09))
_ARTERIES, _VEINS = 4, 2


@dataclass(frozen=True)
class Vessels:
    """What blood flows in, in the slice.

    Attributes:
        central: pulmonary arteries outside the lungs: trunk, right (in two parts), left, interlobar right and left.
        arteries: arterial trees of both lungs, one group for each generation.
        veins: venous trees, likewise.
    """

    central: Capsules
    arteries: tuple[Capsules, ...]
    veins: tuple[Capsules, ...]

    @property
    def embolic(self) -> Capsules:
        """Where emboli lodge: the central arteries but the trunk's root, then the lobar and segmental ones."""
        return Capsules.joined(self.central, self.arteries[0], self.arteries[1])


CENTRAL = 6  # how many of `Vessels.embolic` are central


def grow(patients: Patients, person: Chance, moment: Chance) -> Vessels:
    """Grow the vessels of a batch of patients."""
    right, left = _hila(patients, person)
    arteries, veins = [], []
    for side, hilum in ((-1.0, right), (1.0, left)):
        arteries.append(_tree(hilum, side, _ARTERIES, 1.0, person, moment))
        towards_atrium = np.array([-side * 0.9, 1.1], np.float32)
        veins.append(_tree(hilum + towards_atrium, side, _VEINS, 0.9, person, moment))
    return Vessels(
        _central(patients, right, left, person),
        tuple(Capsules.joined(*pair) for pair in zip(*arteries, strict=True)),
        tuple(Capsules.joined(*pair) for pair in zip(*veins, strict=True)),
    )


def lumen(grid: Grid, generations: tuple[Capsules, ...]) -> Array:
    """Coverage of a tree, float32 [N, size, size]."""
    coverage = grid.empty()
    for generation in generations:
        grid.union(generation, onto=coverage)
    return coverage


def _hila(patients: Patients, person: Chance) -> tuple[Array, Array]:
    """Where the arteries enter the right and the left lung, each float32 [N, 2]; lower slices cut them further back."""
    back = 0.9 * patients.chambers
    right = np.stack([-4.5 + person.normal(0, 0.2), 0.7 + back + person.normal(0, 0.3)], axis=-1)
    left = np.stack([4.7 + person.normal(0, 0.2), 1.3 + back + person.normal(0, 0.3)], axis=-1)
    return right, left


def _central(patients: Patients, right: Array, left: Array, person: Chance) -> Capsules:
    calibre = person.normal(1.0, 0.11)
    shown = patients.trunk * calibre
    fork_x, fork_y = person.normal(2.2, 0.2), person.normal(-1.5, 0.25)
    bend_x, bend_y = person.normal(-1.3, 0.2), person.normal(-0.3, 0.2)
    right_x, right_y, left_x, left_y = right[:, 0], right[:, 1], left[:, 0], left[:, 1]
    return Capsules.of(
        (fork_x - 0.3, fork_y - 2.0, fork_x, fork_y, 1.45 * shown),
        (fork_x, fork_y, bend_x, bend_y, 1.1 * shown),
        (bend_x, bend_y, right_x, right_y - 0.4, 0.95 * shown),
        (fork_x, fork_y, left_x, left_y - 0.3, 1.05 * shown),
        (right_x, right_y - 0.4, right_x - 0.3, right_y + 0.7, 0.95 * calibre),
        (left_x, left_y - 0.4, left_x + 0.2, left_y + 0.7, 0.95 * calibre),
    )


def _tree(root: Array, side: float, branches: int, calibre: float, person: Chance, moment: Chance) -> list[Capsules]:
    """Branch from `root` (float32 [N, 2]) towards `side` (-1 or 1), dividing in two from generation to generation."""
    count = len(root)
    fan = np.linspace(-1.25, 1.25, branches, dtype=np.float32) if branches > 1 else np.zeros(1, np.float32)
    angle = fan + person.uniforms(branches, -0.3, 0.3)
    tail = np.broadcast_to(root[:, None, :], (count, branches, 2))
    present = person.uniforms(branches) < 0.93
    grown = []
    for generation, (length, radius) in enumerate(_GENERATIONS):
        limbs = angle.shape[1]
        # Small vessels soon leave a slice: the next one cuts others.
        chance = person if generation < 2 else moment
        # A vessel that leaves the slice's plane looks short.
        reach = length * np.sqrt(1 - chance.uniforms(limbs, 0, 0.95) ** 2) * (1 + moment.uniforms(limbs, -0.08, 0.08))
        course = angle + moment.uniforms(limbs, -0.06, 0.06)
        step = np.stack([side * np.cos(course) * reach, np.sin(course) * reach], axis=-1)
        start = np.where(present, radius * calibre * chance.uniforms(limbs, 0.8, 1.2), 0)
        head = (tail + step).astype(np.float32)
        grown.append(Capsules(tail, head, start.astype(np.float32), (0.75 * start).astype(np.float32)))
        turn = chance.uniforms(limbs, 0.25, 0.7)
        lean = chance.uniforms(limbs, -0.2, 0.2)
        angle = np.stack([angle - turn + lean, angle + turn + lean], axis=-1).reshape(count, -1)
        tail = np.repeat(head, 2, axis=1)
        present = np.repeat(present, 2, axis=1) & (chance.uniforms(2 * limbs) < 0.72)
    return grown


def mixed_blood(grid: Grid, patients: Patients, person: Chance) -> Array:
    """Enhancement of arterial blood everywhere, float32 [N, size, size] HU: contrast never mixes quite evenly."""
    slope = grid.x * (person.normal(0, 0.006))[:, None, None]
    slope += grid.y * (person.normal(0, 0.009))[:, None, None]
    slope += 1
    slope *= patients.pulmonary[:, None, None]
    return slope
