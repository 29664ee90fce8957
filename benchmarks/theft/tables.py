"""Tables of what thieves copy, from the document of `benchmarks.extraction`."""

from __future__ import annotations

from statistics import mean
from typing import Any

DATA = ("phantom", "chestxray64")
_CURVES = ("hundred", "whole", "proxy", "npd", "npd-million", "npd-then-domain", "datafree")
_COMPARED = ("active", "variants", "semi")


def theft_curves(document: dict[str, Any]) -> str:
    """Fidelity and relative accuracy by budget: a row for each pool and strategy, a column for each budget."""
    rows: dict[tuple[str, str, str], dict[int, str]] = {}
    for data in DATA:
        for attack in _attacks(document, data, _CURVES):
            key = (data, attack["pool"], attack["strategy"])
            cell = f"{attack['fidelity']:.1%} / {attack['relative_accuracy']:.1%}"
            rows.setdefault(key, {})[attack["budget"]] = cell.replace("%", "")
    budgets = sorted({budget for cells in rows.values() for budget in cells})
    head = [f"| data | thief's images | strategy | {' | '.join(f'{budget:,}' for budget in budgets)} |"]
    head.append("|---|---|---|" + "---:|" * len(budgets))
    lines = [f"| {' | '.join(key)} | {' | '.join(cells.get(b, '') for b in budgets)} |" for key, cells in rows.items()]
    return "\n".join(head + lines)


def theft_strategies(document: dict[str, Any]) -> str:
    """Each strategy beside random querying on the same images: the difference, paired by seed and test image."""
    rows = [
        "| data | thief's images | strategy | learner | queries | fidelity (95 %) | less random's (95 %) | beats it "
        "| s to choose and ask | s to learn |",
        "|---|---|---|---|---:|---:|---:|---|---:|---:|",
    ]
    for data in DATA:
        for attack in _attacks(document, data, _COMPARED):
            low, high = attack["fidelity_ci"]
            rows.append(
                f"| {data} | {attack['pool']} | {attack['strategy']} | {attack['learner']} | {attack['budget']:,} | "
                f"{attack['fidelity']:.1%} ({low:.1%}–{high:.1%}) | {_gain(attack)} | "
                f"{attack['seconds_query']:.0f} | {attack['seconds_train']:.0f} |"
            )
    return "\n".join(rows)


def theft_peers(document: dict[str, Any]) -> str:
    """ART's thieves: means over seeds, the same pool, device and thief's network."""
    rows = [
        "| data | ART's attack | queries | distinct images | fidelity | relative accuracy | s |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for data in DATA:
        thieves = (document["raw"]["art"].get(data) or {"thieves": []})["thieves"]
        for peer, budget in dict.fromkeys((thief["peer"], thief["budget"]) for thief in thieves):
            found = [thief for thief in thieves if (thief["peer"], thief["budget"]) == (peer, budget)]
            distinct, fidelity, accuracy, seconds = (
                mean(thief[key] for thief in found) for key in ("distinct", "fidelity", "relative_accuracy", "seconds")
            )
            rows.append(
                f"| {data} | {peer} | {budget:,} | {distinct:,.0f} | {fidelity:.1%} | {accuracy:.1%} | {seconds:.0f} |"
            )
    return "\n".join(rows)


def bounds(document: dict[str, Any]) -> str:
    """Every bound and what was measured, held or not."""
    verdicts = {True: "holds", False: "**does not hold**", None: "not measured"}
    rows = ["| | measured | bound | |", "|---|---:|---:|---|"]
    for check in document["checks"]:
        value = "–" if check["value"] is None else f"{check['value']:.4g}"
        rows.append(f"| {check['name']} | {value} | {check['bound']} | {verdicts[check['ok']]} |")
    return "\n".join(rows)


def _attacks(document: dict[str, Any], data: str, plans: tuple[str, ...]) -> list[dict[str, Any]]:
    done = document["raw"].get(data, {})
    return [attack for plan in plans if plan in done for attack in done[plan]["summary"]]


def _gain(attack: dict[str, Any]) -> str:
    """The difference to random querying, where the plan had one beside it."""
    if attack["gain_ci"] is None:
        return "– | "
    low, high = (100 * bound for bound in attack["gain_ci"])
    return f"{low:+.1f} to {high:+.1f} | {'yes' if attack['beats_random'] else 'no'}"
