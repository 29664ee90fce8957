"""Tables in the documents, made from the records: `python -m benchmarks.tables` writes them anew.

A document marks the place with `<!-- table: NAME -->` and `<!-- end -->`; what stands between is replaced.
`python -m benchmarks.tables --check` changes nothing and fails where a document is out of date.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comparison import tables as comparison
from benchmarks.defence import tables as defence
from benchmarks.matrix import tables as matrix
from benchmarks.scale import tables as scale
from benchmarks.theft import tables as theft
from foundation.errors import ExitCode
from foundation.files import write_text

_ROOT = Path(__file__).parents[1]
_DOCUMENTS = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            *("devices", "attacks", "defences", "psgl", "inversion", "policies", "detection", "export"),
            *("benchmarking", "compare", "scaling"),
        )
    ),
)
_MARK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def newest(benchmark: str) -> dict[str, Any]:
    """The newest full (not quick) document of a benchmark's record file."""
    lines = (_ROOT / "benchmarks" / "records" / f"{benchmark}.jsonl").read_text().splitlines()
    full = [document for line in lines if not (document := json.loads(line))["quick"]]
    found: dict[str, Any] = full[-1]
    return found


def artifacts() -> str:
    """What was exported and how it did on the embedded device, phantom and radiographs."""
    document = newest("main_road")
    rows = [
        "| data | artefact | kB | agrees with float | accuracy on device (float) | labels equal | p50 / p90 µs |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for data in ("phantom", "chestxray64"):
        summary = document["raw"][data]
        for artifact in summary["artifacts"]:
            latency = artifact["latency_us"]
            rows.append(
                f"| {data} | {artifact['name']} | {artifact['bytes'] / 1000:,.0f} | "
                f"{artifact['parity']['agreement']:.1%} | {artifact['accuracy_on_device']:.1%} "
                f"({summary['victim']['accuracy']:.1%}) | "
                f"{artifact['labels_equal']} of {artifact['labels_compared']} | "
                f"{latency['p50']:.0f} / {latency['p90']:.0f} |"
            )
    return "\n".join([*rows, "", _source(document)])


def thefts() -> str:
    """What the thieves reached: means over seeds, 95 % intervals over seeds and test images."""
    document = newest("main_road")
    rows = [
        "| data | thief's images | strategy | queries | fidelity (95 %) | most frequent answer | relative accuracy |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for data in ("phantom", "chestxray64"):
        for attack in document["raw"][data]["attacks"]:
            low, high = attack["fidelity_ci"]
            rows.append(
                f"| {data} | {attack['pool']} | {attack['strategy']} | {attack['budget']:,} | "
                f"{attack['fidelity']:.1%} ({low:.1%}–{high:.1%}) | {attack['most_frequent']:.1%} | "
                f"{attack['relative_accuracy']:.1%} |"
            )
    return "\n".join([*rows, "", _source(document)])


def _source(document: dict[str, Any]) -> str:
    return _machine(document) + "embedded device, 3 seeds."


def clients() -> str:
    """adb's clients side by side: medians."""
    document = newest("adb_throughput")
    adb = document["raw"]["adb"]
    names = {
        "ours": "edgecat",
        "adb": f"adb program ({adb['adb'].removeprefix('Version ')})",
        "adb-shell": f"adb-shell {adb['adb-shell']}",
    }
    rows = [
        "| client | shell round trip, ms | push, MiB/s | pull, MiB/s | 4 threads × 50 shells |",
        "|---|---:|---:|---:|---:|",
    ]
    size = adb["push_bytes"] / (1 << 20)
    for name, shown in names.items():
        shell, push, pull = (median(adb[task][name]) for task in ("shell", "push", "pull"))
        at_once = adb["at_once"].get(name)
        lost = f"{at_once['right']} of {at_once['of']}" if at_once else "–"
        rows.append(f"| {shown} | {1000 * shell:.1f} | {size / push:.0f} | {size / pull:.0f} | {lost} |")
    return "\n".join([*rows, "", _machine(document) + "sandbox:x86_64, through one relay."])


def query_rates() -> str:
    """Images a second by batch, and the road of today."""
    document = newest("adb_throughput")
    raw = document["raw"]
    rows = [
        "| device | compute-bound | batches of 256 | 64 | 16 | one at a time | two sessions | push, run, pull each "
        "(edgecat, adb, adb-shell) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for device, shown in (("sandbox", "sandbox:x86_64"), ("embedded", "embedded")):
        rates = raw[device]["rates"]
        cells = [f"{rates['median'][batch]:,.0f}" for batch in ("256", "64", "16", "1")]
        today = "–"
        if device == "sandbox":
            today = ", ".join(f"{raw['adb']['today'][name]['per_second']:.1f}" for name in ("ours", "adb", "adb-shell"))
        rows.append(
            f"| {shown} | {median(rates['compute_bound_per_second']):,.0f} | {' | '.join(cells)} | "
            f"× {raw[device]['two_sessions']['ratio']:.2f} | {today} |"
        )
    return "\n".join([*rows, "", _machine(document) + "images/s, medians; int8 CNN of 0.1 M parameters, 64 × 64."])


def _machine(document: dict[str, Any]) -> str:
    context = document["context"]
    return (
        f"`{' '.join(context['command'])}`, {context['created'][:10]}, {context['cores']} cores of {context['cpu']}, "
    )


def _of(benchmark: str, table: Callable[[dict[str, Any]], str], ending: str) -> Callable[[], str]:
    """A table of a benchmark's newest document, with its source below."""

    def written() -> str:
        document = newest(benchmark)
        return "\n".join([table(document), "", _machine(document) + ending])

    return written


_THEFT = "embedded device, int8, hard labels."
_SPLIT = "means over seeds and victims, split learning in one process."
_TABLES = {
    "artifacts": artifacts,
    "thefts": thefts,
    "clients": clients,
    "query_rates": query_rates,
    "theft_curves": _of("extraction", theft.theft_curves, f"fidelity / relative accuracy in %; {_THEFT}"),
    "theft_strategies": _of("extraction", theft.theft_strategies, _THEFT),
    "theft_peers": _of("extraction", theft.theft_peers, f"means of 3 seeds; {_THEFT}"),
    "defence_recognition": _of("defenses", defence.recognition, _SPLIT),
    "defence_reading": _of(
        "defenses",
        defence.reading,
        f"PSNR in dB / SSIM / MSE; {_SPLIT} Four victims where gradients are inverted, 225 or 256 elsewhere.",
    ),
    "defence_cost": _of("defenses", defence.cost, "medians; one thread."),
    "defence_policies": _of(
        "defenses", defence.policies, "embedded device, int8, 4,000 queries, 3 seeds (least–most)."
    ),
    "defence_detection": _of("defenses", defence.detection, "median of 3 seeds; embedded device, int8, labels."),
    "defence_watermark": _of("defenses", defence.watermark, "16,000 marked answers, one seed; embedded device, int8."),
    "defence_bounds": _of("defenses", theft.bounds, "embedded device, int8."),
    "export_recipes": _of("export_matrix", matrix.recipes, "one process for all of a data set's."),
    "export_precisions": _of("export_matrix", matrix.precisions, "embedded device, 4,000 hard labels, 3 seeds."),
    "export_roads": _of("export_matrix", matrix.roads, "Python bindings, one thread."),
    "export_hostile": _of("export_matrix", matrix.hostile, "embedded device."),
    "export_bounds": _of("export_matrix", theft.bounds, "embedded device."),
    "latency_agreement": _of("latency_agreement", comparison.agreement, "embedded device, native runner, one thread."),
    "compare_power": _of("latency_agreement", comparison.power, "embedded device, int8 `.tflite`."),
    "latency_bounds": _of("latency_agreement", theft.bounds, "embedded device."),
    "scale_constants": _of("scaling", scale.constants, "seconds of a core, counted by the system."),
    "scale_at_once": _of("scaling", scale.at_once, "one process for each device."),
    "scale_scenarios": _of("scaling", scale.scenarios, "simulated from the constants above."),
    "theft_bounds": _of("extraction", theft.bounds, _THEFT),
}


def rewritten(text: str) -> str:
    """A document with its tables made anew."""
    return _MARK.sub(lambda mark: f"{mark[1]}{_TABLES[mark[2]]()}\n{mark[3]}", text)


def main() -> int:
    """Rewrite the documents, or check them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail where a table is out of date")
    check = parser.parse_args().check
    stale = []
    for name in _DOCUMENTS:
        path = _ROOT / name
        before = path.read_text()
        after = rewritten(before)
        if after != before:
            stale.append(name)
            if not check:
                write_text(path, after)
    print(f"{'out of date' if check else 'rewritten'}: {', '.join(stale) or 'none'}")
    return int(ExitCode.CHECK_FAILED if check and stale else ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(main())
