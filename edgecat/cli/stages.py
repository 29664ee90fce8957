"""The stages of the road as commands of their own: train, push, query, attack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output

OptionalPath = Optional[Path]  # noqa: UP045


def train(
    out: Annotated[Path, typer.Option("--out", help="The checkpoint to write.")] = Path("victim.safetensors"),
    data: options.Data = "phantom",
    architecture: options.Architecture = "residual",
    seed: options.Seed = 0,
    epochs: options.Epochs = None,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    json: options.Json = False,
) -> None:
    """Train a victim and write its checkpoint (safetensors)."""
    with Output(json) as output:
        from edgecat.settings import make_settings
        from edgecat.stages.data import load_dataset
        from edgecat.stages.victim import measure_victim, train_victim

        settings = make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels)
        dataset = load_dataset(settings, output)
        checkpoint = train_victim(dataset, out, architecture=architecture, seed=seed, epochs=epochs, progress=output)
        record = measure_victim(checkpoint, dataset, run_id=checkpoint.sha256[:16])
        text = f"{out}: {record.accuracy:.1%} of {len(dataset.test)} test images, {record.parameters:,} parameters"
        output.result(record.model_dump(mode="json") | {"checkpoint": str(out)}, text)


def push(
    model: options.Model,
    device: options.DeviceSpec = None,
    key: options.Key = None,
    json: options.Json = False,
) -> None:
    """Bring a model to a device, whole and verified there by size and SHA-256."""
    with Output(json) as output:
        from edge.deployment import push_artifact
        from edge.devices.opening import open_device
        from foundation.manifest import load_artifact

        artifact = load_artifact(model)
        with open_device(device, key) as opened:
            remote = push_artifact(opened, artifact, output)
            document = {
                "device": opened.info.spec,
                "path": remote,
                "bytes": artifact.manifest.bytes,
                "sha256": artifact.manifest.sha256,
            }
            output.result(document, f"{opened.info.spec}: {remote}")


def query(
    model: options.Model,
    images: Annotated[Path, typer.Option("--images", help="A folder of pictures, or an .npz with arrays of images.")],
    device: options.DeviceSpec = None,
    key: options.Key = None,
    answers: options.Answers = "label",
    threads: options.Threads = 1,
    runner: options.Runner = "auto",
    runtime: options.Runtime = None,
    cpus: options.Cpus = None,
    ledger: Annotated[
        OptionalPath, typer.Option("--ledger", help="Remember queries in this file; a repeated image costs nothing.")
    ] = None,
    budget: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--budget", help="Ask at most this many new images, then stop with exit code 5."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Ask a model on a device about images, as a black box."""
    with Output(json) as output:
        from edge.deployment import RunnerOptions, deploy
        from edge.devices.opening import open_device
        from edgecat.stages.query import ask, check_budget, read_images
        from foundation.answers import AnswerPolicy
        from foundation.manifest import load_artifact

        policy = AnswerPolicy.parse(answers)
        check_budget(ledger, budget)
        artifact = load_artifact(model)
        pictures = read_images(images, artifact.manifest.image.shape)
        with (
            open_device(device, key) as opened,
            deploy(opened, artifact, policy, RunnerOptions(runner, runtime, threads, cpus), output) as oracle,
        ):
            answered = ask(oracle, pictures, ledger, budget)
            engine = oracle.hello.engine
        names = artifact.manifest.class_names
        refused = answered.answers.refused
        best = [None if no else int(label) for label, no in zip(answered.answers.top1(), refused, strict=True)]
        document = {
            "model": artifact.manifest.name,
            "engine": engine,
            "policy": str(policy),
            "class_names": list(names),
            "labels": best,
            "named": answered.answers.labels.tolist(),
            "scores": None if answered.answers.scores is None else answered.answers.scores.tolist(),
            "device_ns": answered.answers.device_ns.tolist(),
            "device_queries": answered.asked,
        }
        told = ("refused" if label is None else names[label] for label in best)
        output.result(document, "\n".join(f"{row}\t{word}" for row, word in enumerate(told)))
        answered.complete_or_fail()


def attack(
    model: options.Model,
    out: Annotated[Path, typer.Option("--out", help="Directory for ledger.sqlite, results.jsonl and the report.")],
    data: options.Data = "phantom",
    device: options.DeviceSpec = None,
    key: options.Key = None,
    pool: options.Pools = None,
    resize: options.Resize = False,
    strategy: options.Strategies = None,
    baseline: options.Baseline = True,
    gains: options.Gains = True,
    budgets: options.Budgets = None,
    answers: options.Answers = "label",
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
    json: options.Json = False,
) -> None:
    """Steal a model that answers on a device, and measure the copies on data that no thief asked about.

    Started again with the same --out it goes on from the ledger: no query is asked twice. Without --budgets it draws
    the curve from 250 to 16,000 queries.
    """
    with Output(json) as output:
        from edge.devices.spec import parse_spec
        from edgecat.settings import CURVE, make_settings, parse_budgets
        from foundation.manifest import load_artifact

        artifact = load_artifact(model)
        settings = make_settings(
            data=data,
            device=str(parse_spec(device)),
            runtimes=() if runtime is None else (runtime,),
            pools=tuple(pool or ()),
            resize=resize,
            strategies=tuple(strategy or ()),
            baseline=baseline,
            gains=gains,
            budgets=parse_budgets(budgets) if budgets else CURVE,
            answers=answers,
            seeds=seeds,
            seed=seed,
            thief=thief,
            learner=learner,
            effort=effort,
            threads=threads,
            runner=runner,
            cpus=cpus,
            size=size,
        )
        # Late: a wrong setting is told before torch is loaded.
        from edgecat.stages.attack import attack_model

        summary = attack_model(artifact, settings, out, key, output)
        output.result(summary.model_dump(mode="json"), f"report: {summary.report}")
