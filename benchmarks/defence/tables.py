"""Tables of defences and what attacks still get, from the document of `benchmarks.defenses`; means over seeds."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import mean, median
from typing import Any

from benchmarks.markdown import table
from benchmarks.report.words import alarms

Document = dict[str, Any]
Row = list[str]

DATA = ("phantom", "chestxray64")


def recognition(document: Document) -> str:
    """Accuracy by the images shown, for who answers: the network, and each of PSGL's streams."""
    shown = ("clean", "fgsm", "pgd", "jsma", "reconstructed")
    rows = []
    for data, protection, own in _networks(document):
        for who in dict.fromkeys(who for one in own for who in one["accuracy"]["clean"]):
            found = [[one["accuracy"].get(name, {}).get(who) for one in own] for name in shown]
            rows.append([data, protection, who, f"{len(own)}", *map(_percent, found)])
    return table(("data", "protection", "who answers", "seeds", *shown), rows, 3)


def reading(document: Document) -> str:
    """What each attack reads of each protection: PSNR in dB, SSIM and MSE, over victims and seeds."""
    networks = list(_networks(document))
    attacks = list(dict.fromkeys(i["attack"] for *_, own in networks for one in own for i in one["inversions"]))
    rows = []
    for data, protection, own in networks:
        tried = [i for one in own for i in one["inversions"]]
        cells = [_read([i for i in tried if i["attack"] == attack]) for attack in attacks]
        rows.append([data, protection, f"{len(own)}", *cells])
    return table(("data", "protection", "seeds", *attacks), rows, 3)


def _read(found: list[Any]) -> str:
    if not found:
        return "–"
    psnr, ssim, mse = (mean(one[key] for one in found) for key in ("psnr", "ssim", "mse"))
    return f"{psnr:.1f} / {ssim:.2f} / {mse:.4f}"


def cost(document: Document) -> str:
    """A step's milliseconds in one process and their ratio, and what crosses between two."""
    rows = []
    for data in DATA:
        found = document["raw"].get(data, {}).get("cost")
        for name, rounds in found["step_ms"].items() if found else ():
            apart = found["two_processes"].get(name)
            keys = ("client_ms", "server_ms", "channel_ms", "bytes_up", "bytes_down")
            cells = [f"{apart[key]:,.1f}" if "ms" in key else f"{apart[key]:,.0f}" for key in keys] if apart else []
            rows.append([data, name, f"{median(rounds):.1f}", f"{found['ratio'][name]:.2f}", *cells])
    head = ("data", "protection", "step, ms", "over plain", "two processes: client, ms", "server, ms", "channel, ms")
    return table((*head, "bytes up", "bytes down"), rows, 2)


def policies(document: Document) -> str:
    """What each policy costs, and the fidelity that is left to thieves of labels and of scores."""
    rows = []
    for data in DATA:
        found = document["raw"].get(data, {}).get("policies")
        for result in found["results"] if found else ():
            utility = result["utility"]
            stolen = {
                learns: [thief["fidelity"] for thief in result["thieves"] if thief["learns"] == learns]
                for learns in ("labels", "scores")
            }
            shares = ([utility[key]] for key in ("accuracy", "refused", "top1_changed"))
            told = (utility["ece"], utility["brier"], utility["probability_change"])
            rows.append(
                [
                    data,
                    f"`{result['policy']}`",
                    result["applied"],
                    *map(_percent, shares),
                    *("–" if value is None else f"{value:.3f}" for value in told),
                    *(_spread(values) for values in stolen.values()),
                ]
            )
    head = ("data", "policy", "where", "accuracy", "refused", "best class changed", "ECE", "Brier", "\\|Δp\\|")
    return table((*head, "fidelity, labels", "fidelity, scores"), rows, 3)


def detection(document: Document) -> str:
    """Queries until each detector's alarm, median over seeds; and false alarms on patients."""
    rows = []
    for data in DATA:
        reports = document["raw"].get(data, {}).get("detection") or {}
        for report in reports.values():
            for pool, strategy in dict.fromkeys((thief["pool"], thief["strategy"]) for thief in report["thieves"]):
                own = [t for t in report["thieves"] if (t["pool"], t["strategy"]) == (pool, strategy)]
                cells = [_alarms(own, name) for name in report["calibration"]]
                rows.append([data, pool, strategy, f"{max(t['queries'] for t in own):,}", *cells])
        for report in list(reports.values())[:1]:
            alarms = {one["detector"]: one for one in report["false_alarms"]}
            cells = [_percent([alarms[name]["rate"]]) for name in report["calibration"]]
            length = max(one["length"] for one in alarms.values())
            rows.append([data, "patients", "false alarms", f"{length:,}", *cells])
    return table(("data", "images", "strategy", "queries", "prada", "band", "soda"), rows, 3)


def watermark(document: Document) -> str:
    """Altered answers that a copy and an innocent model repeat."""
    rows = []
    for data in DATA:
        found = document["raw"].get(data, {}).get("watermark")
        for who in ("copy", "innocent") if found else ():
            one = found[who]
            agreed = f"{one['agreements']} of {found['altered']}"
            rows.append([data, who, agreed, f"{one['bits']:.1f}", one["verdict"], _percent([one["fidelity"]])])
    return table(("data", "suspect", "altered answers repeated", "bits of proof", "verdict", "fidelity"), rows, 2)


def _networks(document: Document) -> Iterable[tuple[str, str, list[Any]]]:
    """Data, protection and its evaluations, one for each seed."""
    for data in DATA:
        done = document["raw"].get(data, {}).get("splits")
        evaluations = done["evaluations"] if done else []
        for protection in dict.fromkeys(one["protection"] for one in evaluations):
            yield data, protection, [one for one in evaluations if one["protection"] == protection]


def _alarms(thieves: list[Any], detector: str) -> str:
    return alarms([a["alarm"] for thief in thieves for a in thief["detections"] if a["detector"] == detector])


def _percent(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean(known):.1%}" if known else "–"


def _spread(values: list[float]) -> str:
    """Mean, and the least and the most of the seeds."""
    return f"{mean(values):.1%} ({min(values):.1%}–{max(values):.1%})" if values else "–"
