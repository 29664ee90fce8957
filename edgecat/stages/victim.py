"""Train the victim, or take a checkpoint, and measure it on the test split."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import confusion_matrix, f1_score

from benchmarks.records import DatasetFacts, SplitSizes, Victim
from benchmarks.statistics import proportion_interval
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress
from victim.checkpoint import Checkpoint, header_for, load, save
from victim.dataset import Dataset
from victim.models import build, count_parameters
from victim.step import TrainingSettings
from victim.training import fit, one_hot, predict

# Images shown to the default victim in training, in all: 10 epochs of the phantom.
TRAINING_SAMPLES = 60_000


def check_architecture(architecture: str, dataset: Dataset) -> None:
    """Whether a network of that name can be made for these images; told before the first minute of training.

    Raises:
        UsageError: it cannot.
    """
    build(architecture, dataset.image_shape[2], len(dataset.class_names), torch.Generator())


def train_victim(
    dataset: Dataset,
    path: Path,
    *,
    architecture: str = "residual",
    seed: int = 0,
    epochs: int | None = None,
    progress: Progress = SILENT,
) -> Checkpoint:
    """Train on the data set's train split and write the checkpoint.

    Args:
        dataset: the data; val stops the training, test and thief stay unseen.
        path: the `.safetensors` file.
        architecture: see `victim.models.build`.
        seed: of weights, order and augmentation.
        epochs: None fits it to the number of images.
        progress: where to show it.

    Raises:
        UsageError: an unknown architecture, or a place that cannot be written; told before training.
    """
    _check_place(path)
    generator = torch.Generator().manual_seed(seed)
    classes = len(dataset.class_names)
    network = build(architecture, dataset.image_shape[2], classes, generator)
    settings = TrainingSettings.for_images(len(dataset.train), samples=TRAINING_SAMPLES)
    # Nothing else wants the second core now. Smaller batches would be cut too small for batch statistics.
    settings = replace(settings, workers=2 if settings.batch >= 128 else 1)
    if epochs is not None:
        settings = replace(settings, epochs=epochs)
    fitted = fit(
        network,
        dataset.train.images,
        one_hot(dataset.train.labels, classes),
        settings,
        generator,
        validation=(dataset.val.images, one_hot(dataset.val.labels, classes)),
        progress=progress,
        description="training the victim",
    )
    header = header_for(dataset, architecture, fitted.seconds, fitted.epochs)
    return save(fitted.network, header, path)


def _check_place(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="choose another place") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UsageError(f"cannot write {path}", hint="choose another place")


def load_victim(path: Path, dataset: Dataset) -> Checkpoint:
    """A checkpoint that was trained on this data set.

    Raises:
        ArtifactError: it cannot be read.
        DataError: it was trained on other data: its test split may have been somebody's training split.
    """
    checkpoint = load(path)
    if checkpoint.header.dataset_sha256 != dataset.sha256:
        raise DataError(
            f"{path} was trained on {checkpoint.header.dataset}, not on this {dataset.name} with this split",
            hint="give the data and seed it was trained with",
        )
    return checkpoint


def measure_victim(checkpoint: Checkpoint, dataset: Dataset, run_id: str) -> Victim:
    """The float victim on the test split, as a record."""
    header = checkpoint.header
    truth = dataset.test.labels
    predicted = predict(checkpoint.network, dataset.test.images).argmax(1).astype(np.int64)
    hits = predicted == truth
    classes = np.arange(len(dataset.class_names))
    return Victim(
        run_id=run_id,
        dataset=DatasetFacts(
            name=dataset.name,
            sha256=dataset.sha256,
            class_names=list(dataset.class_names),
            sizes=SplitSizes(**{name: len(split) for name, split in dataset.splits.items()}),
            image_shape=dataset.image_shape,
        ),
        architecture=header.architecture,
        parameters=count_parameters(checkpoint.network),
        sha256=checkpoint.sha256,
        accuracy=float(hits.mean()),
        accuracy_ci=proportion_interval(hits, np.random.default_rng(0)),
        macro_f1=float(f1_score(truth, predicted, average="macro", labels=classes, zero_division=0)),
        epochs=header.epochs,
        seconds_train=header.seconds_train,
        confusion=confusion_matrix(truth, predicted, labels=classes).tolist(),
        labels=truth.tolist(),
        predictions=predicted.tolist(),
    )
