"""What the radiologist looks for, and what only resembles it.

Nodules: solid, part-solid or spiculated. Emboli: filling defects in the pulmonary arteries, central, eccentric or
occluding. Everybody, ill or not, may have lymph nodes at the hila, scars, old granulomas and badly mixed contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from victim.phantom.chance import Array, Chance
from victim.phantom.patient import Patients
from victim.phantom.shapes import Capsules, Grid
from victim.phantom.thorax import blend
from victim.phantom.vessels import CENTRAL, Vessels

_TRIES = 12
_SPICULES = 8
_EMBOLI = 4


@dataclass(frozen=True)
class Nodules:
    """One nodule for each image.

    Attributes:
        halo: its ground-glass part.
        core: its solid part, with spicules.
        halo_density: of the ground glass, as a share of the lung it fills.
        density: of the solid part, HU.
    """

    halo: Capsules
    core: Capsules
    halo_density: Array
    density: Array


def nodules(patients: Patients, person: Chance, moment: Chance) -> Nodules:
    """Draw a nodule in a lung of each patient: a third of them solid, part-solid, spiculated each."""
    place = _place(patients, person) + np.stack([moment.normal(0, 0.12), moment.normal(0, 0.12)], axis=-1)
    kind = person.uniform(0, 3)
    part_solid, spiculated = (kind >= 1) & (kind < 2), kind >= 2
    radius = person.uniform(1.35, 2.0) * moment.uniform(0.9, 1.1)
    core = np.where(part_solid, radius * person.uniform(0.45, 0.7), radius).astype(np.float32)
    lobes = _lobes(place, core, person)
    angle = np.arange(_SPICULES) * (2 * np.pi / _SPICULES) + person.uniforms(_SPICULES, -0.35, 0.35)
    length = radius[:, None] * person.uniforms(_SPICULES, 1.5, 2.3)
    tips = place[:, None, :] + np.stack([np.cos(angle), np.sin(angle)], axis=-1) * length[..., None]
    width = np.repeat(np.where(spiculated, 0.3 * radius, 0)[:, None], _SPICULES, axis=1).astype(np.float32)
    tails = np.repeat(place[:, None, :], _SPICULES, axis=1)
    spicules = Capsules(tails, tips.astype(np.float32), width, 0.3 * width)
    halo = _lobes(place, (radius * person.uniform(1.25, 1.7)).astype(np.float32), person).where(part_solid[:, None])
    return Nodules(halo, Capsules.joined(lobes, spicules), person.uniform(0.5, 0.75), person.uniform(-20, 90))


def show_nodules(image: Array, grid: Grid, lung: Array, found: Nodules, ill: NDArray[np.bool_]) -> None:
    """Put the nodules of those who are `ill` (bool [N]) into their lungs.

    `image` (HU) is changed in place, and `lung` (coverage) too: where a tumour has grown there is no lung any more, and
    few vessels pass.
    """
    there = ill[:, None]
    halo = grid.union(found.halo.where(there))
    halo *= lung
    halo *= found.halo_density[:, None, None]
    blend(image, halo, 30.0)
    core = grid.union(found.core.where(there))
    core *= lung
    blend(image, core, found.density[:, None, None])
    core *= 0.85
    lung -= core


def emboli(vessels: Vessels, person: Chance, moment: Chance) -> Capsules:
    """Draw one to four emboli in the pulmonary arteries of each patient; the first always lies in a large branch."""
    sites = vessels.embolic
    count, choices = sites.tail_radius.shape
    reach = np.sqrt(((sites.head - sites.tail) ** 2).sum(axis=-1))
    room = np.where(reach > 0.5, np.maximum(sites.tail_radius, sites.head_radius), 0)
    room[:, 0] = 0  # an embolus rides on the fork or beyond it, not before it
    fate = person.uniforms(_EMBOLI * choices).reshape(count, _EMBOLI, choices)
    # Exponential race: a site wins with a probability that goes with its weight.
    weight = np.where(room > 0.3, room**1.5, 1e-6)
    race = -np.log(fate + 1e-6) / weight[:, None, :]
    first = race[:, :1].copy()
    first[..., CENTRAL:] += np.where(room[:, None, CENTRAL:] > 0.6, 0, 1e3)
    chosen = np.concatenate([first, race[:, 1:]], axis=1).argmin(axis=-1)
    start = person.uniforms(_EMBOLI, 0.0, 0.35) + moment.uniforms(_EMBOLI, -0.05, 0.05)
    end = start + person.uniforms(_EMBOLI, 0.6, 0.9)
    share = person.uniforms(_EMBOLI, 0.6, 1.3)
    share[:, 0] += 0.25  # the first is never the smallest
    share = np.clip(share, 0, 1)
    inside = sites.pick(chosen).along(start, end, share, np.clip(person.uniforms(_EMBOLI, -1.6, 1.6), -1, 1))
    how_many = person.uniform(0.8, 3.9)[:, None]
    return inside.where(np.arange(_EMBOLI) <= how_many)


def clot(grid: Grid, found: Capsules, ill: NDArray[np.bool_]) -> Array:
    """Coverage of the emboli of those who are `ill` (bool [N]): float32 [N, size, size]."""
    return grid.union(found.where(ill[:, None]))


def show_old_changes(image: Array, grid: Grid, lung: Array, patients: Patients, person: Chance) -> None:
    """What resembles cancer and is none: scars, calcified granulomas, bands of badly aired lung."""
    count = len(patients.fat)
    place, further = _place(patients, person), person.uniforms(2, -1.6, 1.6)
    scar = Capsules(place[:, None], (place + further)[:, None], *(np.full((count, 1), 0.16, np.float32),) * 2)
    coverage = grid.union(scar.where(person.happens(0.3)[:, None]))
    coverage *= lung
    blend(image, coverage, -120.0)
    spot = _place(patients, person)
    radius = person.uniform(0.18, 0.3)[:, None]
    granuloma = Capsules(spot[:, None], spot[:, None], radius, radius).where(person.happens(0.15)[:, None])
    grid.paint(image, granuloma, np.full((count, 1), 500.0, np.float32))
    sunk = np.clip((grid.y - (patients.chest_height - person.uniform(0.8, 2.6))[:, None, None]) / 1.5, 0, 1)
    sunk *= (person.uniform(0, 0.35) * person.happens(0.5))[:, None, None]
    sunk *= lung
    blend(image, sunk.astype(np.float32), -250.0)


def hilar_nodes(patients: Patients, vessels: Vessels, person: Chance) -> Capsules:
    """Lymph nodes and fat beside the interlobar arteries: grey against bright, as an embolus is."""
    hila = vessels.central.pick(np.tile(np.array([4, 5]), (len(patients.fat), 1)))
    away = np.stack([person.uniforms(2, -1.3, 1.3), person.uniforms(2, 0.6, 1.5)], axis=-1)
    centre = (hila.head + away).astype(np.float32)
    radius = np.where(person.uniforms(2) < 0.4, person.uniforms(2, 0.3, 0.65), 0).astype(np.float32)
    return Capsules(centre, centre, radius, radius)


def _lobes(place: Array, radius: Array, person: Chance) -> Capsules:
    """A lump of three round lobes around `place` (float32 [N, 2])."""
    angle = person.uniforms(3, 0, 2 * np.pi)
    offset = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * (0.35 * radius)[:, None, None]
    centre = (place[:, None, :] + offset).astype(np.float32)
    size = (radius[:, None] * person.uniforms(3, 0.7, 0.95)).astype(np.float32)
    return Capsules(centre, centre, size, size)


def _place(patients: Patients, person: Chance) -> Array:
    """A place in a lung, off chest wall and mediastinum: float32 [N, 2]. The first of some tries that holds."""
    side = np.where(person.happens(0.5), -1, 1).astype(np.float32)[:, None]
    x, y = side * person.uniforms(_TRIES, 7.1, 11.4), person.uniforms(_TRIES, -6.6, 6.2)
    wall = (x / (patients.chest_width - 1.1)[:, None]) ** 2 + (y / (patients.chest_height - 1.1)[:, None]) ** 2
    in_heart = (side > 0) & (patients.chambers[:, None] > 0.1) & (np.hypot(x - 4.7, y + 2.4) < 4.8)
    good = (wall < 1) & ~in_heart
    good[:, -1] = True
    x[:, -1], y[:, -1] = 8.0 * side[:, 0], 2.5
    row, column = np.arange(len(x)), good.argmax(axis=1)
    return np.stack([x[row, column], y[row, column]], axis=-1).astype(np.float32)
