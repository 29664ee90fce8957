"""Our thieves, as a user would start them: `edgecat attack` on the embedded device, an int8 victim, hard labels.

Everything stands in a work directory, so a benchmark that was broken off goes on: a victim is not trained again, a
query not asked again, a thief on record not trained again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.command import run_edgecat
from benchmarks.summary import summarise

RECIPE = "tflite_int8"

Raw = dict[str, Any]

# What is kept of each thief: everything but its predictions.
_KEPT = (
    "pool",
    "strategy",
    "learner",
    "thief_architecture",
    "budget",
    "queries",
    "seed",
    "accuracy",
    "fidelity",
    "fidelity_ci",
    "correct_fidelity",
    "relative_accuracy",
    "macro_f1_ratio",
    "seconds_query",
    "seconds_train",
    "device_seconds",
    "answer_histogram",
)


@dataclass(frozen=True)
class Data:
    """A data set of the benchmark.

    Attributes:
        name: for tables.
        source: as `--data` takes it.
    """

    name: str
    source: str


@dataclass(frozen=True)
class Plan:
    """Thieves that one `edgecat attack` sends.

    Attributes:
        name: of its directory.
        pool: see `attack.pools.find_pool`.
        budgets: as `--budgets` takes them.
        strategies: empty for the pool's default.
        seeds: how many.
        learner: see `attack.copycat.LEARNERS`.
        gains: whether to measure what is gained beyond labels.
    """

    name: str
    pool: str
    budgets: str
    strategies: tuple[str, ...] = ()
    seeds: int = 3
    learner: str = "supervised"
    gains: bool = False

    @property
    def options(self) -> list[str]:
        """Of `edgecat attack`."""
        named = [word for strategy in self.strategies for word in ("--strategy", strategy)]
        words = ["--pool", self.pool, "--budgets", self.budgets, "--seeds", str(self.seeds), "--learner", self.learner]
        return [*words, *named, "--gains" if self.gains else "--no-gains"]


def victim(data: Data, work: Path) -> Path:
    """Train and export the int8 victim of a data set, unless it stands there; its model file."""
    model = work / data.name / "artifacts" / f"{RECIPE}.tflite"
    if not model.is_file():
        checkpoint = work / data.name / "victim.safetensors"
        run_edgecat(["train", "--data", data.source, "--out", str(checkpoint)])
        recipe = ["--recipe", RECIPE, "--data", data.source, "--out", str(model.parent)]
        run_edgecat(["export", str(checkpoint), *recipe])
    return model


def send(data: Data, model: Path, plan: Plan, work: Path) -> Raw:
    """Carry out a plan; every thief's record without its predictions, and what it gained beyond labels."""
    out = work / data.name / plan.name
    run_edgecat(["attack", str(model), "--data", data.source, "--out", str(out), *plan.options])
    return collected(data, plan, work)


def collected(data: Data, plan: Plan, work: Path) -> Raw:
    """What `work` holds of a plan that was carried out, perhaps in part; empty: nothing yet."""
    results = work / data.name / plan.name / "results.jsonl"
    if not results.is_file():
        return {}
    found = records.read(results)
    thieves = [record.model_dump(mode="json", include=set(_KEPT)) for record in found if record.kind == "attack"]
    summary = summarise(found).model_dump(mode="json")
    # Class by class it would fill the record.
    attacks = [{key: value for key, value in one.items() if key != "class_fidelity"} for one in summary["attacks"]]
    return {"thieves": thieves, "summary": attacks, "gains": summary["gains"]} if thieves else {}


def victim_facts(data: Data, work: Path) -> Raw:
    """The victim's accuracy on the device, from the first plan that was carried out; empty where none was."""
    for results in sorted((work / data.name).glob("*/results.jsonl")):
        for record in records.read(results):
            if record.kind == "accuracy_on_device":
                return record.model_dump(mode="json", include={"accuracy", "accuracy_ci", "images", "engine"})
    return {}
