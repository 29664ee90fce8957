"""Our thieves, as a user would start them: `edgecat attack` on the embedded device, an int8 victim, hard labels.

Everything stands in a work directory, so a benchmark that was broken off goes on: a victim is not trained again, a
query not asked again, a thief on record not trained again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from benchmarks.command import run_edgecat

RECIPE = "tflite_int8"

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


def send(data: Data, model: Path, plan: Plan, work: Path) -> dict[str, JsonValue]:
    """Carry out a plan; every thief's record without its predictions, and what it gained beyond labels."""
    out = work / data.name / plan.name
    summary = run_edgecat(["attack", str(model), "--data", data.source, "--out", str(out), *plan.options])
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    thieves = [{key: record[key] for key in _KEPT} for record in records if record["kind"] == "attack"]
    return {"thieves": thieves, "summary": summary["attacks"], "gains": summary["gains"]}


def victim_facts(model: Path, data: Data, work: Path) -> dict[str, JsonValue]:
    """The victim's accuracy on the device, from the first plan that was carried out."""
    for results in sorted((work / data.name).glob("*/results.jsonl")):
        for line in results.read_text().splitlines():
            record = json.loads(line)
            if record["kind"] == "accuracy_on_device":
                return {key: record[key] for key in ("accuracy", "accuracy_ci", "images", "engine")}
    raise LookupError(f"no record of what {model} answers")
