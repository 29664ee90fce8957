"""Evaluate trained split networks: what they are worth, and what is read of their patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from benchmarks.records import Inversion, SplitEvaluation, StepCost
from defense.evaluation import Evaluation, EvaluationSettings, evaluate_split
from defense.inversion.reconstruction import Reconstruction
from defense.split.storage import SplitRecord, Stored, load_split
from edgecat.directory import RunDirectory
from edgecat.journal import Journal
from edgecat.stages.readings import readings_of, save_readings
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset

_SETTINGS = TypeAdapter(EvaluationSettings)


def evaluate_directories(
    directories: Sequence[Path],
    dataset: Dataset,
    settings: EvaluationSettings,
    out: Path,
    progress: Progress = SILENT,
) -> list[SplitEvaluation]:
    """Evaluate what `edgecat defend psgl train` left in some directories; records, pictures and report go to `out`.

    Started again it does not repeat what is on record with the same attacks.

    Raises:
        ArtifactError: a directory without a whole split network.
        DataError: a network of other data.
        UsageError: an unknown attack.
    """
    networks = [load_split(directory) for directory in directories]
    for stored in networks:
        stored.check_dataset(dataset)
    place = RunDirectory(out)
    journal = Journal(place, progress)
    found = []
    with place.locked():
        for stored in networks:
            record = _known(journal, stored.record, settings)
            if record is None:
                evaluation = evaluate_split(stored.model, dataset, settings, progress)
                config = stored.record.config
                save_readings(out, readings_of(evaluation, config.protection, config.seed))
                record = evaluation_record(stored, evaluation, settings, journal.run_id)
                journal.add(record)
            found.append(record)
        journal.write_report(dataset)
    return found


def evaluation_record(
    stored: Stored, evaluation: Evaluation, settings: EvaluationSettings, run_id: str
) -> SplitEvaluation:
    """An evaluation as a record."""
    record = stored.record
    channels, height, width = evaluation.smashed.shape[1:]
    return SplitEvaluation(
        run_id=run_id,
        dataset=record.dataset,
        dataset_sha256=record.dataset_sha256,
        protection=record.config.protection,
        depth=record.config.depth,
        smashed=(channels, height, width),
        seed=record.config.seed,
        accuracy={shown: dict(answers) for shown, answers in evaluation.accuracy.items()},
        inversions=[_inversion(name, found) for name, found in evaluation.read.items()],
        cost=_cost(record),
        client_sha256=record.client_sha256,
        settings=_told(settings),
    )


def _known(journal: Journal, trained: SplitRecord, settings: EvaluationSettings) -> SplitEvaluation | None:
    """The newest evaluation of this very network with all of these attacks, as they are set."""
    for record in reversed(journal.of(SplitEvaluation)):
        tried = {inversion.attack for inversion in record.inversions}
        same = record.client_sha256 == trained.client_sha256 and record.settings == _told(settings)
        if same and tried >= set(settings.inversion) and set(record.accuracy) >= set(settings.adversarial):
            return record
    return None


def _told(settings: EvaluationSettings) -> dict[str, JsonValue]:
    """How attacks are set, as JSON has it; which were tried stands beside it in a record."""
    told = _SETTINGS.dump_python(settings, mode="json")
    return {name: value for name, value in told.items() if name not in ("inversion", "adversarial")}


def _inversion(name: str, found: Reconstruction) -> Inversion:
    return Inversion(
        attack=name,
        mse=found.mse.tolist(),
        ssim=[None if math.isnan(value) else value for value in found.ssim.tolist()],
        seconds=found.seconds,
        notes=dict(found.notes),
    )


def _cost(record: SplitRecord) -> StepCost | None:
    if not len(record.costs):
        return None
    return StepCost(processes=record.processes, steps=len(record.costs), **record.costs.medians())
