"""Split learning: recognition, and what attacks read of patients, for each protection and seed.

Networks are trained by `edgecat defend psgl train` and evaluated by `edgecat defend psgl evaluate`; what stands in the
work directory is neither trained nor evaluated again.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Any

from pydantic import JsonValue

from benchmarks.command import run_edgecat
from benchmarks.proof import Check, at_least, at_most
from benchmarks.records import SplitEvaluation
from benchmarks.theft.thefts import Data
from foundation.files import file_name

Raw = dict[str, JsonValue]

PLAIN, PSGL, OURS = "none", "psgl", "aware"
PROTECTIONS = (PLAIN, PSGL, "psgl:normalised", OURS, "psgl+aware", "noise:0.5", "nopeek:0.5", "clip:1,0.1")
SEEDS = 3
_KIND = "split_evaluation"
# Decoders of 30 epochs: on wide smashed data ridge regression, which has none, reads best anyway (docs/inversion.md).
# A hijack of 375 steps.
EFFORT = "0.25"
# Of other patients; there are 507 of radiographs, and a learner of all phantoms would take three times as long.
AUXILIARY = "1000"
ADVERSARIAL = ("fgsm", "pgd", "jsma")
INVERSION = ("mean", "decoder")
# Minutes for each network: on the first seed's only.
SLOW = ("fsha", "dlg", "idlg", "geiping", "geiping:all")
# Percentage points that the paper's abstract claims; which is of which stream is an inference (docs/psgl.md).
CLAIMED = {"recovered": 0.140, "fused": 0.179, "attacked": 0.369}


def measure(data: Data, work: Path, seed: int, quick: bool) -> None:
    """Train and evaluate every protection of one seed; what is on record stays."""
    place = work / data.name / "split"
    networks = [_trained(data, one, seed, place, quick) for one in _protections(seed, quick)]
    inversion = ("mean", "idlg") if quick else (*INVERSION, *SLOW) if seed == 0 else INVERSION
    words = [
        *(word for name in inversion for word in ("--attack", name)),
        *(word for name in (("fgsm",) if quick else ADVERSARIAL) for word in ("--adversarial", name)),
    ]
    common = ["--data", data.source, "--seed", str(seed), "--out", str(place / "evaluation")]
    effort = ["--effort", "0.02" if quick else EFFORT, "--auxiliary", AUXILIARY]
    run_edgecat(["defend", "psgl", "evaluate", *map(str, networks), *common, *words, *effort])


def _protections(seed: int, quick: bool) -> tuple[str, ...]:
    if quick:
        return PLAIN, PSGL
    # A network takes minutes: those that no bound is set on are trained and attacked once.
    return (PLAIN, PSGL, OURS) if seed else PROTECTIONS


def collected(data: Data, work: Path) -> Raw | None:
    """The evaluations that `work` holds, the newest of each network; None: there are none."""
    results = work / data.name / "split" / "evaluation" / "results.jsonl"
    lines = results.read_text().splitlines() if results.is_file() else []
    records = [SplitEvaluation.model_validate(one) for line in lines if (one := json.loads(line))["kind"] == _KIND]
    newest = {(record.protection, record.seed): record for record in records}
    return {"evaluations": [_summed_up(record) for record in newest.values()]} if newest else None


def _summed_up(record: SplitEvaluation) -> JsonValue:
    """A record with means over victims, and of each victim the PSNR alone: all of their numbers would fill the file."""
    inversions = [
        {
            "attack": one.attack,
            "victims": len(one.mse),
            "psnr": mean(one.psnr),
            "psnr_each": [round(value, 1) for value in one.psnr],
            "ssim": mean(value for value in one.ssim if value is not None),
            "mse": mean(one.mse),
            "seconds": one.seconds,
            "notes": one.notes,
        }
        for one in record.inversions
    ]
    kept = ("protection", "seed", "depth", "smashed", "accuracy", "cost")
    told: dict[str, JsonValue] = record.model_dump(mode="json", include=set(kept))
    return {**told, "inversions": inversions}  # type: ignore[dict-item]


def checks(name: str, raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """The bounds on one data set; a quick run stands for none of them."""
    found = [] if raw is None or quick else raw["evaluations"]
    plain, psgl, ours = (_Mean([e for e in found if e["protection"] == one]) for one in (PLAIN, PSGL, OURS))
    costs, lost = less(psgl.accuracy(), plain.accuracy()), less(plain.accuracy(), ours.accuracy())
    return [
        at_least(f"{name}: PSGL's clean accuracy less plain split learning's", costs, -0.02),
        *(
            at_least(f"{name}: PSGL's decision fusion less its {stream} stream alone", psgl.gain(stream), claimed)
            for stream, claimed in CLAIMED.items()
        ),
        *(
            at_least(
                f"{name}: PSGL less the undefended network, images {shown}",
                less(psgl.accuracy(shown), plain.accuracy(shown)),
                min(CLAIMED.values()),
            )
            for shown in (*ADVERSARIAL, "reconstructed")
        ),
        at_least(f"{name}: plain split learning, read by a learned decoder", plain.psnr("decoder"), 28.0, "dB"),
        at_most(f"{name}: ours, read by a learned decoder", ours.psnr("decoder"), 18.0, "dB"),
        at_most(f"{name}: accuracy that ours costs", lost, 0.02),
    ]


def less(one: float | None, other: float | None) -> float | None:
    """Their difference; None where one of them was not measured."""
    return None if one is None or other is None else one - other


class _Mean:
    """Means over the seeds of one protection; None where nothing was measured."""

    def __init__(self, evaluations: list[dict[str, Any]]) -> None:
        self.evaluations = evaluations

    def accuracy(self, shown: str = "clean", who: str = "decision") -> float | None:
        found = [e["accuracy"][shown][who] for e in self.evaluations if who in e["accuracy"].get(shown, {})]
        return mean(found) if found else None

    def gain(self, stream: str) -> float | None:
        return less(self.accuracy(), self.accuracy(who=stream))

    def psnr(self, attack: str) -> float | None:
        found = [i["psnr"] for e in self.evaluations for i in e["inversions"] if i["attack"] == attack]
        return mean(found) if found else None


def _trained(data: Data, protection: str, seed: int, place: Path, quick: bool) -> Path:
    out = place / file_name(protection, str(seed))
    words = ["--data", data.source, "--protection", protection, "--seed", str(seed), "--out", str(out)]
    length = ["--epochs", "4"] if quick else []
    run_edgecat(["defend", "psgl", "train", *words, *length, "--in-process", "--resume"])
    return out
