"""Train a split network."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from defense.protections import find_protection
from defense.split.checkpoints import Checkpoints
from defense.split.config import SplitConfig, WireType
from defense.split.halves import SplitSettings
from defense.split.processes import train_in_process, train_in_processes
from defense.split.storage import (
    CHECKPOINTS,
    RECORD_FILE,
    SERVER_FILE,
    SplitRecord,
    load_halves,
    load_record,
    save_client,
    save_record,
)
from defense.split.training import Labelled, Trainer, logits
from foundation.errors import UsageError
from foundation.files import sha256_file, write_text
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True)
class SplitPlan:
    """What the user asks of a training.

    Attributes:
        protection: by its name.
        seed: of everything.
        epochs: None fits them to the data.
        depth: blocks that stay with the client; None takes the cut that the protection was measured with.
        width: channels of the smashed data; None likewise.
        processes: whether the server gets a process of its own.
        wire: how smashed data travel between processes.
        every: steps between checkpoints; None keeps one after each epoch.
        transcript: directory for what the server sees; None keeps nothing.
    """

    protection: str = "none"
    seed: int = 0
    epochs: int | None = None
    depth: int | None = None
    width: int | None = None
    processes: bool = True
    wire: str = "float32"
    every: int | None = None
    transcript: Path | None = None

    def config(self, dataset: Dataset) -> SplitConfig:
        """The plan for a data set.

        Raises:
            UsageError: an unknown protection, or another wire than there are.
        """
        if self.wire not in (wires := get_args(WireType)):
            raise UsageError(f"numbers cannot travel as {self.wire!r}", hint=f"use {' or '.join(wires)}")
        protection = find_protection(self.protection)
        uncut = self.depth is None
        return SplitConfig(
            protection=self.protection,
            image_shape=dataset.image_shape,
            classes=len(dataset.class_names),
            depth=protection.depth if self.depth is None else self.depth,
            width=protection.width if uncut and self.width is None else self.width,
            seed=self.seed,
            images=len(dataset.train),
            data_sha256=dataset.sha256,
            settings=SplitSettings.for_images(len(dataset.train), self.epochs),
            wire=cast(WireType, self.wire),
        )


def train_split_network(
    dataset: Dataset, plan: SplitPlan, out: Path, *, resume: bool = False, progress: Progress = SILENT
) -> SplitRecord:
    """Train on the data set's train split, judge each epoch on val, and write both halves and the record.

    Args:
        dataset: the client's data.
        plan: what to train.
        out: the directory.
        resume: go on from the checkpoints there; a finished training is not repeated.
        progress: where to show it.

    Raises:
        UsageError: settings that cannot be, a place that cannot be written, or, to resume, other settings.
        DataError: something is no longer a number.
    """
    config = plan.config(dataset)
    if plan.transcript is not None and not plan.processes:
        raise UsageError("a transcript is what the server's process sees", hint="leave --in-process out")
    if resume and (out / RECORD_FILE).exists() and (record := load_record(out)).config == config:
        return record
    _open_directory(out, config, resume)
    start = time.perf_counter()
    trainer = _trained(dataset, plan, config, out, progress)
    seconds = time.perf_counter() - start
    client_sha256 = save_client(out, trainer.client.model, config)
    record = SplitRecord(
        config=config,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        class_names=dataset.class_names,
        processes=plan.processes,
        history=tuple(trainer.history),
        costs=trainer.costs,
        accuracy=_accuracy(out, config, dataset),
        seconds=seconds,
        client_sha256=client_sha256,
        server_sha256=sha256_file(out / SERVER_FILE),
    )
    save_record(out, record)
    _forget_checkpoints(out, config)
    return record


def _trained(dataset: Dataset, plan: SplitPlan, config: SplitConfig, out: Path, progress: Progress) -> Trainer:
    train, val = (Labelled(split.images, split.labels) for split in (dataset.train, dataset.val))
    if not plan.processes:
        return train_in_process(config, train, out, validation=val, every=plan.every, progress=progress)
    return train_in_processes(
        config, train, out, validation=val, every=plan.every, transcript=plan.transcript, progress=progress
    )


def _open_directory(out: Path, config: SplitConfig, resume: bool) -> None:
    """Settings on disk before the first step; what an earlier training left goes, unless it is gone on with."""
    path, words = out / SETTINGS_FILE, config.model_dump_json(indent=1) + "\n"
    if resume and path.exists() and path.read_text() != words:
        raise UsageError(f"{out} was begun with other settings, see {path.name}", hint="give those, or another --out")
    write_text(path, words)
    (out / RECORD_FILE).unlink(missing_ok=True)
    if not resume:
        _forget_checkpoints(out, config)


def _forget_checkpoints(out: Path, config: SplitConfig) -> None:
    for half in ("client", "server"):
        Checkpoints(out / CHECKPOINTS, half, config.sha256).clear()


def _accuracy(out: Path, config: SplitConfig, dataset: Dataset) -> float:
    model = load_halves(out, config)
    guessed = logits(model, model.server, dataset.test.images, config.seed).argmax(1)
    return float((guessed == dataset.test.labels).mean())


def step_costs(record: SplitRecord) -> str:
    """What a step took, as a line for people: medians over all steps."""
    if not len(record.costs):
        return "no step"
    client, server, channel, up, down = record.costs.medians().values()
    return (
        f"a step: client {client:.1f} ms, server {server:.1f}, channel {channel:.1f}, {up:,.0f} bytes up, "
        f"{down:,.0f} down (medians)"
    )
