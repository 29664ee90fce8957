"""`edgecat defend policies`: what answer policies cost, and what they leave to steal."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned

if TYPE_CHECKING:
    from defense.policies.records import PolicyReport, PolicyResult

DEFAULT = ("label", "topk:2", "scores", "round:1", "noise:0.1", "reverse_sigmoid:1,0.5", "confident:0.6", "mad:0.5")


def policies(
    model: options.Model,
    data: options.Data = "phantom",
    policy: Annotated[
        Optional[list[str]],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Option(
            "--policy",
            help="What to try; repeatable. label, topk:K, scores, round:D, noise:S, reverse_sigmoid:B,G, confident:T, "
            f"logits; mad:E or mad_argmax:E, on the host's side. docs/policies.md. Default: {' '.join(DEFAULT)}.",
            show_default=False,
        ),
    ] = None,
    device: options.DeviceSpec = None,
    key: options.Key = None,
    budget: Annotated[str, typer.Option("--budget", help="Queries of each thief, as in 4000 or 4k.")] = "4k",
    pool: Annotated[
        str, typer.Option("--pool", help="Where the thieves' images come from: see edgecat attack --pool.")
    ] = "proxy",
    resize: options.Resize = False,
    strategy: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--strategy",
            help="How the thieves choose: see edgecat attack. Default: amplify for pd:N, random for the rest.",
            show_default=False,
        ),
    ] = None,
    seeds: options.Seeds = 3,
    seed: options.Seed = 0,
    thief: options.Thief = "stacked",
    learner: options.Learner = "supervised",
    effort: options.Effort = 1.0,
    threads: options.Threads = 1,
    runner: options.Runner = "auto",
    runtime: options.Runtime = None,
    cpus: options.Cpus = None,
    size: options.Size = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Directory for ledgers, results.jsonl and the report: no query is asked twice."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Deploy a model under each policy; measure accuracy, calibration, and two thieves of the same paid answers."""
    with Output(json) as output:
        from edge.devices.spec import parse_spec
        from edgecat.settings import make_settings, parse_budgets
        from foundation.manifest import load_artifact

        artifact = load_artifact(model)
        settings = make_settings(
            data=data,
            device=str(parse_spec(device)),
            runtimes=() if runtime is None else (runtime,),
            pools=(pool,),
            resize=resize,
            strategies=() if strategy is None else (strategy,),
            budgets=parse_budgets([budget]),
            seeds=seeds,
            seed=seed,
            thief=artifact.manifest.victim_architecture or thief if thief == "same" else thief,
            learner=learner,
            effort=effort,
            threads=threads,
            runner=runner,
            cpus=cpus,
            size=size,
        )
        # Late: a wrong setting is told before torch is loaded.
        from defense.policies.defence import Defence
        from edgecat.stages.data import load_dataset
        from edgecat.stages.policies import check_settings, measure_policies

        defences = [Defence.parse(text) for text in policy or DEFAULT]
        check_settings(settings, defences)
        dataset = load_dataset(settings, output)
        report = measure_policies(artifact, dataset, defences, settings, key=key, out=out, progress=output)
        text = table(report)
        if out is not None:
            from edgecat.stages.recorded import add_to_report, policy_record

            text += f"\nreport: {add_to_report(out, policy_record(report), dataset, output)}"
        output.result(report.document(), text)


def table(report: PolicyReport) -> str:
    """One line a policy; means over the seeds."""
    heads = ("policy", "where", "accuracy", "refused", "top-1 changed", "ECE", "Brier", "|Δp|", "labels", "scores")
    rows = [heads, *(_row(result) for result in report.results)]
    lines = aligned(rows)
    told = (
        f"{report.artifact} on {report.device} ({report.device_kind}): {report.victim_accuracy:.1%} of "
        f"{len(report.truth)} test images. The last two columns are the fidelity of {report.thief} thieves of "
        f"{report.budget:,} queries ({report.pool}, {report.strategy}) that learn the best class of each answer, or "
        f"the whole answers; naming one class always gets {report.constant_fidelity:.1%}."
    )
    return "\n".join([*lines, "", told])


def _row(result: PolicyResult) -> tuple[str, ...]:
    utility = result.utility
    stolen = {
        thief.learns: [t.fidelity for t in result.thieves if t.learns == thief.learns] for thief in result.thieves
    }
    return (
        result.policy,
        result.applied,
        f"{utility.accuracy:.1%}",
        f"{utility.refused:.1%}",
        f"{utility.top1_changed:.1%}" + (" (never)" if result.keeps_top1 else ""),
        *("-" if x is None else f"{x:.3f}" for x in (utility.ece, utility.brier, utility.probability_change)),
        *(f"{mean(stolen[kind]):.1%}" if kind in stolen else "-" for kind in ("labels", "scores")),
    )
