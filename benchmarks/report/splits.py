"""What split learning protects: recognition, what attacks read back, and pictures of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.record_set import RecordSet
from benchmarks.records import Inversion, SplitEvaluation
from benchmarks.report.content import Picture, Section, Table
from benchmarks.report.pictures import contact_sheet
from benchmarks.report.words import NOT_MEASURED, count, number, percent

_COLUMNS = 6
_TILE = 96
_PLAIN, _BLIND = "none", "mean"
# Reading within so many dB of the mean image, which is had without any attack, is as good as nothing.
_NOTHING = 1.0
# Losing less than this share of plain split learning's dB protects nobody.
_AS_PLAIN = 1.0


@dataclass(frozen=True)
class Readings:
    """Some victims of one split network: their images, what left the client, and what attacks got back.

    Attributes:
        protection: of the client.
        seed: of the training.
        originals: uint8 [N, H, W, C].
        smashed: uint8 [N, h, w, 1], channels of the smashed data side by side.
        read: by attack, uint8 [M, H, W, C] with M <= N, of the first M victims.
    """

    protection: str
    seed: int
    originals: NDArray[np.uint8]
    smashed: NDArray[np.uint8]
    read: dict[str, NDArray[np.uint8]]


def splits_section(held: RecordSet, readings: Sequence[Readings], pictures: dict[str, bytes]) -> Section | None:
    """A section of all split networks; None where there is none.

    Args:
        held: the records.
        readings: pictures of some of them.
        pictures: sheets are added here, by file name.
    """
    found = held.split_evaluations
    if not found:
        return None
    blocks: list[Table | Picture] = [_recognition(found), _reading(found)]
    if any(one.cost is not None for one in found):
        blocks.append(_cost(found))
    blocks += [_sheet(one, number, pictures) for number, one in enumerate(readings, start=1)]
    text = (
        "Accuracy is the share of test images given their true class: as they are, attacked, and as the learned "
        "decoder drew them. PSNR compares what an attack read back with the patient's image, in dB: lower is better "
        "for the patient; the mean image is had without any attack. Every attack was trained anew against the "
        "protection that it met."
    )
    return Section("split", "Split learning", (*split_verdict(found), text), blocks)


def split_verdict(found: Sequence[SplitEvaluation]) -> list[str]:
    """What a reader must know first: who protects, and who does not."""
    sentences = []
    for dataset, protection in dict.fromkeys((one.dataset, one.protection) for one in found):
        own, plain = (
            [one for one in found if (one.dataset, one.protection) == (dataset, name)] for name in (protection, _PLAIN)
        )
        psnr, blind = _mean_psnr(own, "decoder"), _mean_psnr(own, _BLIND)
        if psnr is None:
            continue
        read = f"a learned decoder reads patients of {dataset} back at {psnr:.1f} dB"
        beside = "" if blind is None else f" (the mean image alone: {blind:.1f} dB)"
        bare = _mean_psnr(plain, "decoder")
        if blind is not None and psnr <= blind + _NOTHING:
            sentences.append(f"{_named(protection)} protects from it: {read}{beside}.")
        elif protection != _PLAIN and bare is not None and psnr > bare - _AS_PLAIN:
            so = f"{_named(protection)} does not protect"
            sentences.append(f"{so}: {read}{beside}, plain split learning at {bare:.1f} dB.")
        else:
            sentences.append(f"{_named(protection)}: {read}{beside}.")
    return sentences


def _named(protection: str) -> str:
    return "Plain split learning" if protection == _PLAIN else f"Protection {protection}"


def _mean_psnr(evaluations: Sequence[SplitEvaluation], attack: str) -> float | None:
    values = [float(np.mean(i.psnr)) for one in evaluations for i in one.inversions if i.attack == attack]
    return float(np.mean(values)) if values else None


def _recognition(found: Sequence[SplitEvaluation]) -> Table:
    shown = list(dict.fromkeys(name for one in found for name in one.accuracy))
    rows = [
        (one.dataset, one.protection, f"{one.seed}", who, *(_share(one, name, who) for name in shown))
        for one in found
        for who in dict.fromkeys(who for answers in one.accuracy.values() for who in answers)
    ]
    head = ("data", "protection", "seed", "who answers", *shown)
    return Table("Recognition: accuracy on test images", head, rows, frozenset(range(4, 4 + len(shown))))


def _share(one: SplitEvaluation, shown: str, who: str) -> str:
    share = one.accuracy.get(shown, {}).get(who)
    return NOT_MEASURED if share is None else percent(share)


def _reading(found: Sequence[SplitEvaluation]) -> Table:
    rows = [
        (
            one.dataset,
            one.protection,
            f"{one.seed}",
            " x ".join(map(str, one.smashed)),
            inversion.attack,
            count(len(inversion.psnr)),
            f"{np.mean(inversion.psnr):.1f}",
            _mean_ssim(inversion),
            number(float(np.mean(inversion.mse))),
            number(inversion.seconds),
        )
        for one in found
        for inversion in one.inversions
    ]
    head = (
        "data", "protection", "seed", "leaves the client", "attack", "victims", "PSNR, dB", "SSIM", "MSE", "seconds",
    )  # fmt: skip
    return Table("What attacks read back: means over victims", head, rows, frozenset(range(5, 10)))


def _mean_ssim(inversion: Inversion) -> str:
    known = [value for value in inversion.ssim if value is not None]
    return f"{np.mean(known):.2f}" if known else NOT_MEASURED


def _cost(found: Sequence[SplitEvaluation]) -> Table:
    rows = [
        (
            one.dataset,
            one.protection,
            f"{one.seed}",
            "two processes" if one.cost.processes else "one process",
            *(f"{value:.1f}" for value in (one.cost.client_ms, one.cost.server_ms, one.cost.channel_ms)),
            count(one.cost.bytes_up),
            count(one.cost.bytes_down),
        )
        for one in found
        if one.cost is not None
    ]
    head = ("data", "protection", "seed", "in", "client, ms", "server, ms", "channel, ms", "bytes up", "bytes down")
    return Table("What a step of training costs: medians", head, rows, frozenset(range(4, 9)))


def _sheet(one: Readings, number: int, pictures: dict[str, bytes]) -> Picture:
    """Originals above, what left the client below them, and then what each attack made of it."""
    rows = {"original": one.originals, "what left the client": _as_large(one.smashed, one.originals), **one.read}
    rows = {name: images[:_COLUMNS] for name, images in rows.items()}
    labels = np.repeat(np.arange(len(rows)), [len(images) for images in rows.values()])
    names = [name if name in ("original", "what left the client") else f"read by {name}" for name in rows]
    file = f"readings_{number}.png"
    pictures[file] = contact_sheet(np.concatenate(list(rows.values())), labels, names, _COLUMNS, _TILE)
    alt = f"Test images, what left the client of them, and what attacks read back: {', '.join(one.read)}."
    return Picture(file, alt, f"{_named(one.protection)}, seed {one.seed}.", png=pictures[file])


def _as_large(smashed: NDArray[np.uint8], originals: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Reduced or enlarged to the originals' shape, nearest neighbour."""
    height, width, channels = originals.shape[1:]
    rows = np.arange(height) * smashed.shape[1] // height
    columns = np.arange(width) * smashed.shape[2] // width
    return np.repeat(smashed[:, rows][:, :, columns], channels, axis=3)
