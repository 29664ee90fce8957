"""Records of a run that never was, but could have been: consistent with one another, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.records import (
    AccuracyOnDevice,
    ArtifactRecord,
    Attack,
    Calibration,
    Context,
    DatasetFacts,
    Device,
    DeviceKind,
    Gain,
    Latency,
    LatencyConfig,
    LayerProfile,
    LayerTime,
    Memory,
    Parity,
    Record,
    Saliency,
    SplitSizes,
    Transfer,
    Validity,
    Victim,
)
from benchmarks.statistics import evenly_picked, latency_summary, proportion_interval

CREATED = datetime(2025, 3, 1, 12, 0, tzinfo=timezone.utc)
CLASSES = ["normal", "lung cancer", "pulmonary embolism", "lung cancer with pulmonary embolism"]


def blurred(answers: NDArray[np.int64], rate: float, classes: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Answers of which a share of `rate` is replaced by another class: int64, of the same length."""
    wrong = generator.random(len(answers)) < rate
    return np.where(wrong, (answers + generator.integers(1, classes, len(answers))) % classes, answers)


class RecordMaker:
    """Makes records of one run. Everything that is random comes from one generator."""

    def __init__(self, class_names: list[str] | None = None, images: int = 400, seed: int = 0) -> None:
        self.class_names = CLASSES if class_names is None else class_names
        self.generator = np.random.default_rng(seed)
        self.classes = len(self.class_names)
        self.labels = self.generator.integers(0, self.classes, images)
        self.predictions = blurred(self.labels, 0.05, self.classes, self.generator)
        self.on_device: dict[tuple[str, str], NDArray[np.int64]] = {}
        self.base: dict[str, Any] = {"run_id": "run-1", "created": CREATED}

    def context(self, **changes: Any) -> Context:
        """The run's context."""
        values: dict[str, Any] = {
            "command": ["edgecat", "run", "--data", "phantom", "--device", "embedded"],
            "edgecat_version": "0.1.0",
            "python": "3.11.9",
            "platform": "Linux-6.1 x86_64",
            "cpu": "Example CPU @ 2.50GHz",
            "cores": 2,
            "memory_bytes": 8 << 30,
            "versions": {"torch": "2.13.0", "ai-edge-litert": "2.3.0"},
            "quick": False,
            "seed": 0,
            "settings": {"data": "phantom", "budget": 4000, "pools": ["npd", "proxy"]},
        }
        return Context(**self.base, **(values | changes))

    def victim(self) -> Victim:
        """A victim that errs on about 5 % of the test images."""
        confusion = np.zeros((self.classes, self.classes), np.int64)
        np.add.at(confusion, (self.labels, self.predictions), 1)
        hits = self.labels == self.predictions
        return Victim(
            **self.base,
            dataset=DatasetFacts(
                name="phantom",
                sha256="d" * 64,
                class_names=self.class_names,
                sizes=SplitSizes(train=4000, val=800, test=len(self.labels), thief=800),
                image_shape=(64, 64, 1),
            ),
            architecture="compact",
            parameters=272_474,
            sha256="v" * 64,
            accuracy=float(hits.mean()),
            accuracy_ci=proportion_interval(hits, self.generator),
            macro_f1=float(hits.mean()),
            epochs=14,
            seconds_train=41.5,
            confusion=confusion.tolist(),
            labels=self.labels.tolist(),
            predictions=self.predictions.tolist(),
        )

    def device(self, kind: DeviceKind = "embedded", **changes: Any) -> Device:
        """A device of the given kind."""
        values: dict[str, Any] = {
            "spec": {"embedded": "embedded", "emulated": "sandbox:arm64-v8a", "physical": "serial:?"}[kind],
            "serial_hash": "a1b2c3d4e5f6",
            "model": {"embedded": "edgecat embedded", "emulated": "AOSP sandbox", "physical": "Pixel 8"}[kind],
            "abi": "arm64-v8a" if kind != "embedded" else "x86_64",
            "os_version": "14",
        }
        return Device(**(self.base | {"device_kind": kind} | values | changes))

    def artifact(self, runtime: str = "tflite", precision: str = "int8") -> ArtifactRecord:
        """An exported model, named runtime_precision."""
        return ArtifactRecord(
            **self.base,
            name=f"{runtime}_{precision}",
            runtime=runtime,  # type: ignore[arg-type]
            precision=precision,  # type: ignore[arg-type]
            recipe=f"{runtime}_{precision}",
            bytes=338_000 if precision == "int8" else 1_120_000,
            sha256="a" * 64,
            seconds_export=9.5,
            parity=Parity(
                images=500,
                agreement=0.996,
                rms=0.031,
                max_abs=0.21,
                exported_agreement=1.0,
                min_agreement=0.97,
                ok=True,
            ),
        )

    def accuracy_on_device(self, artifact: str, kind: DeviceKind = "embedded") -> AccuracyOnDevice:
        """Answers that differ from the victim's on about 1 % of the images."""
        answers = blurred(self.predictions, 0.01, self.classes, self.generator)
        self.on_device[kind, artifact] = answers
        hits = answers == self.labels
        return AccuracyOnDevice(
            **self.base,
            artifact=artifact,
            device_kind=kind,
            accuracy=float(hits.mean()),
            accuracy_ci=proportion_interval(hits, self.generator),
            images=len(answers),
            labels_compared=len(answers),
            labels_equal=len(answers),
            predictions=answers.tolist(),
            device_ns=latency_summary(self.generator.gamma(9, 70_000, len(answers))),
        )

    def latency(self, artifact: str, kind: DeviceKind = "embedded", median_us: float = 600.0) -> Latency:
        """Latency with a long right tail."""
        samples = median_us * self.generator.lognormal(0, 0.12, 2600)
        raw = evenly_picked(samples)
        return Latency(
            **self.base,
            artifact=artifact,
            device_kind=kind,
            config=LatencyConfig(threads=1, warmup_runs=20, min_runs=200, min_seconds=2, max_seconds=20),
            load_ms=4.2,
            first_us=2.1 * median_us,
            raw_us=raw,
            raw_kept=len(raw),
            latency_us=latency_summary(samples),
            memory=Memory(peak_rss_bytes=61 << 20, method="VmHWM"),
            artifact_bytes=338_000,
            validity=Validity(min_runs_met=True, min_seconds_met=True),
        )

    def profile(self, artifact: str, kind: DeviceKind = "embedded", layers: int = 12) -> LayerProfile:
        """Convolutions within a delegate and one operator of the runtime's own."""
        times = self.generator.gamma(3, 10, layers)
        whole = 1.2 * float(times.sum())
        found = [
            LayerTime(
                name="Convolution (NHWC, QC8) IGEMM #1" if number else "QUANTIZE",
                kind="Convolution" if number else "QUANTIZE",
                scope="delegated" if number else "operator",
                mean_us=float(us),
                share=float(us) / whole,
            )
            for number, us in enumerate(times)
        ]
        return LayerProfile(
            **self.base, artifact=artifact, device_kind=kind, engine="LiteRT 2.3.0", threads=1, runs=200, counted=110,
            resolution_us=1.0, inference_us=whole, delegates_us=None, rest_us=whole - float(times.sum()), layers=found,
        )  # fmt: skip

    def attack(
        self, artifact: str, seed: int = 0, *, kind: DeviceKind = "embedded", disagreement: float = 0.3, **changes: Any
    ) -> Attack:
        """A thief that disagrees with the attacked artefact on about `disagreement` of the test images."""
        reference = self.on_device[kind, artifact]
        thief = blurred(reference, disagreement, self.classes, self.generator)
        hits, right = thief == reference, reference == self.labels
        values: dict[str, Any] = {
            "artifact": artifact,
            "device_kind": kind,
            "pool": "npd",
            "strategy": "random",
            "answers": "label",
            "thief_architecture": "compact",
            "budget": 4000,
            "queries": 4000,
            "device_queries": 4000,
            "seed": seed,
            "accuracy": float((thief == self.labels).mean()),
            "fidelity": float(hits.mean()),
            "fidelity_ci": (max(0.0, hits.mean() - 0.04), min(1.0, hits.mean() + 0.04)),
            "correct_fidelity": float(hits[right].mean()),
            "relative_accuracy": float((thief == self.labels).mean() / right.mean()),
            "macro_f1_ratio": float((thief == self.labels).mean() / right.mean()),
            "seconds_query": 6.2,
            "seconds_train": 31.0,
            "device_seconds": 2.9,
            "thief_predictions": thief.tolist(),
            "answer_histogram": np.bincount(self.generator.integers(0, self.classes, 4000)).tolist(),
        }
        return Attack(**self.base, **(values | changes))

    def gain(self, artifact: str, seed: int = 0, *, kind: DeviceKind = "embedded", **changes: Any) -> Gain:
        """What a thief gains beyond labels; examples transfer the better the larger the bound."""
        chance = self.generator.uniform(-0.03, 0.03)
        values: dict[str, Any] = {
            "artifact": artifact,
            "device_kind": kind,
            "pool": "npd",
            "strategy": "random",
            "answers": "label",
            "thief_architecture": "compact",
            "budget": 4000,
            "seed": seed,
            "transfer": [
                Transfer(
                    epsilon=epsilon,
                    copycat_fooled=1 - 0.5**epsilon,
                    victim_fooled=0.9 * (1 - 0.8**epsilon) + chance,
                    random_noise=0.01 * epsilon,
                    queries=600,
                )
                for epsilon in (2, 4, 8)
            ],
            "saliency": Saliency(
                images=64,
                rank_correlation=0.41 + chance,
                rank_correlation_control=-0.02,
                top_overlap=0.38 + chance,
                top_overlap_control=0.11,
            ),
            "calibration": Calibration(
                ece_thief=0.071, ece_victim=0.032, brier_thief=0.21, brier_victim=0.14, confidence_difference=-0.052
            ),
        }
        return Gain(**self.base, **(values | changes))


STRATEGIES = {
    "balanced": 0.04, "dfal_kcenter": 0.06, "disguide": -0.12, "entropy": 0.001, "jbda": -0.05, "kcenter": 0.03,
    "knockoff": 0.0, "marich": 0.02, "querywise": 0.05, "random": 0.0, "uncertainty": 0.045,
}  # fmt: skip
BUDGETS = (250, 500, 1000, 2000, 4000, 8000, 16_000, 100_000, 1_000_000)


def long_campaign(maker: RecordMaker, budgets: Sequence[int] = BUDGETS) -> list[Record]:
    """One artefact, eleven strategies and a semi-supervised thief on two pools, amplified domain images on a third."""
    records: list[Record] = [maker.context(), maker.victim(), maker.device(), maker.artifact()]
    records += [maker.accuracy_on_device("tflite_int8"), maker.latency("tflite_int8")]
    tried = [(pool, strategy, "supervised") for pool in ("npd", "proxy") for strategy in STRATEGIES]
    tried += [("proxy", "random", "semi"), ("pd:100", "amplify", "supervised"), ("pd:100", "amplify:kcenter", "semi")]
    for pool, strategy, learner in tried:
        worst = {"npd": 0.72, "proxy": 0.5, "pd:100": 0.35}[pool]
        for step, budget in enumerate(budgets[: None if pool == "npd" else 7]):
            left = worst * 0.8**step * (1 - 4 * STRATEGIES.get(strategy, 0.03) * min(1, step / 3))
            for seed in range(3):
                scale = budget / 4000
                changes: dict[str, Any] = {
                    "pool": pool, "strategy": strategy, "learner": learner, "budget": budget, "queries": budget,
                    "device_queries": budget, "seconds_query": 6.2 * scale, "device_seconds": 2.9 * scale,
                }  # fmt: skip
                if pool == "npd":
                    changes["energy_joules"] = 11.5 * scale
                records.append(maker.attack("tflite_int8", seed, disagreement=max(0.02, left), **changes))
    for pool, strategy in (("npd", "random"), ("proxy", "dfal_kcenter"), ("pd:100", "amplify")):
        budget = budgets[-1 if pool == "npd" else min(6, len(budgets) - 1)]
        records += [maker.gain("tflite_int8", seed, pool=pool, strategy=strategy, budget=budget) for seed in range(3)]
    return records


def whole_run(maker: RecordMaker) -> list[Record]:
    """Two artefacts, both attacked with two pools and three seeds."""
    records: list[Record] = [maker.context(), maker.victim(), maker.device()]
    for runtime in ("tflite", "executorch"):
        artifact = maker.artifact(runtime)
        records += [artifact, maker.accuracy_on_device(artifact.name), maker.latency(artifact.name)]
        for seed in range(3):
            records.append(maker.attack(artifact.name, seed, disagreement=0.35))
            records.append(maker.attack(artifact.name, seed, disagreement=0.2, pool="proxy"))
    return records
