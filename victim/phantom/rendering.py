"""From patient numbers to images, many at a time, on several threads.

Image i depends on hospital, seed, patient and slice alone. It does not matter who else is in the batch, how many
images are asked for, or how many workers share the work: pixels are the same to the last bit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from foundation.errors import UsageError
from foundation.progress import SILENT, Progress
from victim.dataset import Split
from victim.phantom import findings, organs, thorax, vessels
from victim.phantom.chance import Array, Chance
from victim.phantom.patient import Patients, admit, lay_down
from victim.phantom.scanner import SCANNERS, Hospital, acquire, field, texture_spectrum
from victim.phantom.shapes import Grid

CLASS_NAMES: tuple[str, ...] = (
    "normal",
    "lung cancer",
    "pulmonary embolism",
    "lung cancer with pulmonary embolism",
)
SLICES_PER_PATIENT = 4

# What a patient and a slice may draw; `Chance` complains when a row is too short.
_DRAWS_OF_PERSON, _DRAWS_OF_MOMENT = 640, 1400
# Threads meet at the interpreter's lock between numpy calls: batches this large keep them apart. Measured on 2 cores,
# images/s with two threads: 48 a batch 1,110, 96 1,390, 144 1,610, 192 1,660; with one thread about 1,080 for all.
_BATCH = 144
_CLOT = 50.0

Numbers = NDArray[np.int64]


def render(
    count: int,
    hospital: Hospital,
    seed: int,
    *,
    first_patient: int = 0,
    size: int = 64,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Split:
    """Render slices of patients `first_patient`, `first_patient` + 1, …, four slices each.

    A patient's class is their number modulo four, so that any 16 images in a row hold every class equally often. The
    four slices of a patient share anatomy and findings; level, breath and noise differ.

    Args:
        count: how many images.
        hospital: whose scanner; the same number is another patient in another hospital.
        seed: 0 or more; another seed, other patients.
        first_patient: number of the first one, 0 or more.
        size: pixels on a side, an even number of at least 16; anatomy does not depend on it.
        workers: threads; None for one on each processor. Does not change the images.
        progress: told of every batch.

    Returns:
        images uint8 [count, size, size, 1], labels int64 [count] (index into `CLASS_NAMES`), patients int64 [count].

    Raises:
        UsageError: a number out of its range.
    """
    _check(count, hospital, seed, first_patient, size, workers)
    images = np.arange(count, dtype=np.int64)
    patients, slices = first_patient + images // SLICES_PER_PATIENT, images % SLICES_PER_PATIENT
    labels = patients % len(CLASS_NAMES)
    pictures = np.empty((count, size, size), np.uint8)

    def batch(rows: slice) -> int:
        pictures[rows] = draw(hospital, seed, patients[rows], slices[rows], labels[rows], size)
        return len(labels[rows])

    parts = [slice(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH)]
    with progress.task(f"rendering {count} slices ({hospital} hospital)", count) as advance:
        for done in _shared(batch, parts, workers or os.cpu_count() or 1):
            advance(done)
    return Split(pictures[..., None], labels, patients)


def draw(
    hospital: Hospital, seed: int, patients: Numbers, slices: Numbers, labels: Numbers, size: int = 64
) -> NDArray[np.uint8]:
    """Render one batch on this thread, with any class for any patient.

    The same patient and slice with another label is the same picture, noise included, but for the findings.

    Args:
        hospital: whose scanner.
        seed: of the whole cohort.
        patients: int64 [N], patient numbers.
        slices: int64 [N], which slice of the patient.
        labels: int64 [N], index into `CLASS_NAMES`.
        size: pixels on a side.

    Returns:
        uint8 [N, size, size].
    """
    scanner = SCANNERS[hospital]
    person, moment, noise = _throw(scanner.number, seed, patients, slices, size)
    cancer, embolism = (labels == 1) | (labels == 3), labels >= 2
    people = admit(person, moment, scanner)
    grid = lay_down(people, person, scanner, size)
    image, tissue = thorax.body(grid, people, scanner, person)
    lung = thorax.lungs(grid, people, image, field(noise[:, 0], texture_spectrum(size)), person)
    findings.show_old_changes(image, grid, lung, people, person)
    findings.show_nodules(image, grid, lung, findings.nodules(people, person, moment), cancer)
    organs.paint_bones(image, grid, people, person)
    organs.paint_mediastinum(image, grid, people, person)
    _show_vessels(image, grid, lung, people, embolism, person, moment)
    # Rays that miss the body still bring some noise.
    return acquire(image, noise[:, 1], 0.35 + 0.65 * tissue, scanner, moment)


def _show_vessels(
    image: Array,
    grid: Grid,
    lung: Array,
    people: Patients,
    embolism: NDArray[np.bool_],
    person: Chance,
    moment: Chance,
) -> None:
    tree = vessels.grow(people, person, moment)
    nodes = findings.hilar_nodes(people, tree, person)
    grid.paint(image, nodes, np.full(nodes.tail_radius.shape, organs.SOFT, np.float32))
    veins = vessels.lumen(grid, tree.veins)
    veins *= lung
    thorax.blend(image, veins, people.venous[:, None, None])
    arteries = vessels.lumen(grid, tree.arteries)
    arteries *= lung
    grid.union(tree.central, onto=arteries)
    blood = vessels.mixed_blood(grid, people, person)
    thorax.blend(blood, findings.clot(grid, findings.emboli(tree, person, moment), embolism), _CLOT)
    thorax.blend(image, arteries, blood)


def _throw(number: int, seed: int, patients: Numbers, slices: Numbers, size: int) -> tuple[Chance, Chance, Array]:
    """All chance of a batch: the patients', the slices', and white noise [N, 2, size, size // 2 + 1, 2]."""
    count = len(patients)
    person = np.empty((count, _DRAWS_OF_PERSON), np.float32)
    moment = np.empty((count, _DRAWS_OF_MOMENT), np.float32)
    noise = np.empty((count, 2, size, size // 2 + 1, 2), np.float32)
    known: dict[int, int] = {}
    for row, (patient, cut) in enumerate(zip(patients.tolist(), slices.tolist(), strict=True)):
        if patient in known:
            person[row] = person[known[patient]]
        else:
            _generator(seed, number, patient, 0).random(dtype=np.float32, out=person[row])
            known[patient] = row
        own = _generator(seed, number, patient, 1 + cut)
        own.random(dtype=np.float32, out=moment[row])
        own.standard_normal(dtype=np.float32, out=noise[row])
    return Chance(person), Chance(moment), noise


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def _shared(batch: Callable[[slice], int], parts: list[slice], workers: int) -> Iterator[int]:
    if workers == 1 or len(parts) < 2:
        yield from map(batch, parts)
        return
    with ThreadPoolExecutor(min(workers, len(parts)), thread_name_prefix="phantom") as pool:
        yield from pool.map(batch, parts)


def _check(count: int, hospital: str, seed: int, first_patient: int, size: int, workers: int | None) -> None:
    if hospital not in SCANNERS:
        raise UsageError(f"unknown hospital {hospital!r}", hint=f"use {' or '.join(SCANNERS)}")
    if min(count, seed, first_patient) < 0:
        raise UsageError(f"count {count}, seed {seed}, first patient {first_patient}: none may be negative")
    if size < 16 or size % 2:
        raise UsageError(f"phantom images of {size} pixels a side", hint="use an even number of at least 16")
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers cannot render", hint="use at least 1")
