"""Answer policies on the device: what each costs an honest user, and what thieves of labels and of scores still get."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from pydantic import JsonValue

from benchmarks.command import run_edgecat
from benchmarks.defence.splits import less
from benchmarks.kept import known, once
from benchmarks.proof import Check, at_least, at_most
from benchmarks.theft.thefts import Data

Raw = dict[str, JsonValue]

# As strong as leaves both victims' accuracy alone.
REVERSE = "reverse_sigmoid:1,0.8"
POLICIES = (
    "label", "topk:2", "scores", "round:1", "noise:0.1", REVERSE, "reverse_sigmoid:1,0.5", "confident:0.6",
    "mad:0.5", "mad_argmax:0.5",
)  # fmt: skip
_EACH_IMAGE = ("predictions", "victim_predictions", "truth")
# Of the training of an attack at full strength: policies are held against each other.
EFFORT = "0.5"
POOLS = {"phantom": "proxy", "chestxray64": "pd:100"}


def measure(data: Data, model: Path, work: Path, quick: bool) -> None:
    """`edgecat defend policies` on the embedded device."""
    once(work / data.name, "policies", lambda: _measured(data, model, work, quick))


def collected(data: Data, work: Path) -> Raw | None:
    """Its document, if `work` holds it, without the prediction for every image; None: it does not."""
    found: Any = known(work / data.name, "policies")
    return None if found is None else _without_predictions(found)


def _without_predictions(found: Any) -> Any:
    """Anything of JSON without what is told of each image: the fill of the file, and summed up beside it."""
    if isinstance(found, dict):
        return {key: _without_predictions(value) for key, value in found.items() if key not in _EACH_IMAGE}
    return [_without_predictions(one) for one in found] if isinstance(found, list) else found


def _measured(data: Data, model: Path, work: Path, quick: bool) -> Raw:
    chosen = ("scores", REVERSE) if quick else POLICIES
    words = [word for policy in chosen for word in ("--policy", policy)]
    size = ["--budget", "250", "--seeds", "1"] if quick else ["--budget", "4k", "--seeds", "3", "--effort", EFFORT]
    place = ["--pool", POOLS[data.name], "--out", str(work / data.name / "policies")]
    return run_edgecat(["defend", "policies", str(model), "--data", data.source, *words, *size, *place])


def checks(name: str, raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """The ART notebook's finding: reverse sigmoid stops the thief of probabilities, not the thief of labels."""
    results = {} if raw is None or quick else {result["policy"]: result for result in raw["results"]}
    open_labels, labels, scores = (
        _fidelity(results.get(policy), learns)
        for policy, learns in (("scores", "labels"), (REVERSE, "labels"), (REVERSE, "scores"))
    )
    kept = None if labels is None or not open_labels else labels / open_labels
    lost = less(labels, scores)
    return [
        at_least(f"{name}: under {REVERSE} a thief of labels keeps, of its fidelity", kept, 0.95),
        at_least(f"{name}: under {REVERSE} a thief of scores gets less than one of labels by", lost, 0.2),
        *(
            at_most(f"{name}: {policy} changes the best class of", result["utility"]["top1_changed"], 0.0)
            for policy, result in results.items()
            if result["keeps_top1"]
        ),
    ]


def _fidelity(result: dict[str, Any] | None, learns: str) -> float | None:
    found = [] if result is None else [t["fidelity"] for t in result["thieves"] if t["learns"] == learns]
    return mean(found) if found else None
