"""`edgecat export`."""

from __future__ import annotations

from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output, aligned
from foundation.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.records import ArtifactRecord
    from edge.devices.opening import OpenDevice
    from export.networks import Foreign
    from export.recipes import Recipe
    from foundation.manifest import Artifact
    from victim.checkpoint import Checkpoint
    from victim.dataset import Dataset

_READY = (".tflite", ".pte")
_PROGRAM = ".pt2"


def export(
    source: Annotated[
        Optional[str],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Argument(
            help="A checkpoint that edgecat train wrote; module:factory with --weights; an exported program .pt2; or a "
            "ready .tflite or .pte file, which is looked at, copied and given a manifest.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Directory for the model files and manifests.")] = Path(
        "artifacts"
    ),
    recipe: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--recipe",
            help="A recipe by name (see --list), or all; repeatable. Default: fp32 and int8 of both runtimes.",
            show_default=False,
        ),
    ] = None,
    recipes: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--recipes", help="A TOML file with recipes of your own; --list shows them too."),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Tell every recipe, and what is not supported; no more.")
    ] = False,
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--weights", help="A safetensors file with the state dict of module:factory."),
    ] = None,
    layout: Annotated[
        str, typer.Option("--layout", help="Of the batch that your own network takes: nchw or nhwc.")
    ] = "nchw",
    mean: Annotated[
        str,
        typer.Option("--mean", help="Your own network or file takes (pixel / 255 - mean) / std: one for all or R,G,B."),
    ] = "0",
    std: Annotated[str, typer.Option("--std", help="See --mean.")] = "1",
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Export nothing: tell what int8 does to each layer alone.")
    ] = False,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto",
            help="Of each --recipe (default: int8 of both runtimes) the smallest file within --max-drop: the layers "
            "that int8 hurts most stay float32.",
        ),
    ] = False,
    max_drop: Annotated[
        float, typer.Option("--max-drop", min=0.0, max=100.0, help="Points of accuracy on the validation images.")
    ] = 1.0,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Hold each file against its network on --device too, and in tflite-runtime 2.14 if that is set up.",
        ),
    ] = False,
    layers: Annotated[
        bool,
        typer.Option(
            "--layers",
            help="Tell how far each layer is from the float network's; where a gate fails it is told anyway.",
        ),
    ] = False,
    device: options.DeviceSpec = None,
    key: options.Key = None,
    data: options.Data = "phantom",
    seed: options.Seed = 0,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    json: options.Json = False,
) -> None:
    """Export a network to TFLite and ExecuTorch, through the parity gate (exit code 1 where it does not hold).

    Give the data and seed that it was trained with: training images calibrate, unseen ones are compared.
    """
    with Output(json) as output:
        from edgecat.settings import make_settings
        from export.recipes import ALL, RECIPES, SPARING, STANDARD, UNSUPPORTED, find_recipe, load_recipes

        own = {} if recipes is None else load_recipes(recipes)
        known = RECIPES | own
        if listed:
            output.result(_listing(known, UNSUPPORTED), _table(known, UNSUPPORTED))
            return
        if source is None:
            raise UsageError("nothing to export", hint="name a checkpoint that edgecat train wrote, or ask for --list")
        names = [
            name for one in recipe or (SPARING if auto else STANDARD) for name in (known if one == ALL else (one,))
        ]
        chosen = tuple(find_recipe(name, own) for name in dict.fromkeys(names))
        settings = make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels)
        numbers = {"mean": _numbers("--mean", mean), "std": _numbers("--std", std)}
        # Late: a wrong recipe is told before torch is loaded.
        from edge.devices.opening import open_device
        from edgecat.stages.data import load_dataset

        if source.endswith(_READY):
            dataset = load_dataset(settings, output)
            with open_device(device, key) as ready:
                output.result(*_taken(Path(source), dataset, out, numbers, ready, output))
            return
        foreign = _foreign(source, weights, layout, numbers)
        dataset = load_dataset(settings, output)
        from edgecat.stages.export import foreign_victim, gate
        from edgecat.stages.victim import load_victim

        victim = load_victim(Path(source), dataset) if foreign is None else foreign_victim(foreign, dataset)
        if sensitivity:
            output.result(*_layers(victim, dataset, output))
            return
        if auto:
            document, text, records = _smallest(victim, dataset, chosen, max_drop / 100, out, output)
        else:
            with open_device(device, key) if everywhere else nullcontext() as opened:
                asked = opened if everywhere else None
                document, text, records = _made(
                    victim, dataset, chosen, out, asked, ALL in (recipe or ()), layers, output
                )
        output.result(document, text)
        for record in records:
            gate(record)


def _made(
    victim: Checkpoint,
    dataset: Dataset,
    chosen: tuple[Recipe, ...],
    out: Path,
    device: OpenDevice | None,
    every: bool,
    layers: bool,
    output: Output,
) -> tuple[dict[str, Any], str, list[ArtifactRecord]]:
    """A file for each recipe: a document, what is said of them, and the records for the gate."""
    from edgecat.stages.export import export_victim
    from export.recipes import UNSUPPORTED

    # Of all recipes one that this network is nothing for does not keep the others back.
    left_out = dict(UNSUPPORTED) if every else {}
    made = list(
        export_victim(
            victim, dataset, chosen, out, victim.sha256[:16], out / "export.log", output,
            elsewhere=device, left_out=left_out if every else None, layers=layers,
        )
    )  # fmt: skip
    lines = [line for artifact, record in made for line in _told(artifact, record)]
    lines += [f"{name}: not supported: {why}" for name, why in left_out.items()]
    documents = [record.model_dump(mode="json") | {"path": str(artifact.path)} for artifact, record in made]
    return {"artifacts": documents, "unsupported": left_out}, "\n".join(lines), [record for _, record in made]


def _taken(
    source: Path,
    dataset: Dataset,
    out: Path,
    numbers: dict[str, tuple[float, ...]],
    device: OpenDevice,
    output: Output,
) -> tuple[dict[str, Any], str]:
    """A ready file: its document and what is said of it."""
    from edgecat.stages.export import accuracy_on
    from export.adoption import adopt

    artifact = adopt(source, dataset.image_shape, dataset.class_names, out, **numbers)
    share, images = accuracy_on(artifact, dataset, device, output), len(dataset.test)
    told = {"path": str(artifact.path), "accuracy_on_device": share, "images": images}
    text = f"{artifact.path}: taken as it is; names {share:.1%} of {images} test images rightly on {device.info.kind}"
    return {"artifacts": [artifact.manifest.model_dump(mode="json") | told]}, text


def _layers(victim: Checkpoint, dataset: Dataset, output: Output) -> tuple[dict[str, Any], str]:
    """What int8 does to each layer alone."""
    from edgecat.stages.precision import layer_table

    rows = layer_table(victim, dataset, output)
    lines = [f"{row['relative_rms']:8.4f}  {row['agreement']:7.1%}  {row['layer']}" for row in rows]
    head = "Each layer in int8 alone: rms of the logits' error (of their spread), agreement with the float network"
    return {"layers": rows}, "\n".join([head, *lines])


def _smallest(
    victim: Checkpoint, dataset: Dataset, chosen: tuple[Recipe, ...], most: float, out: Path, output: Output
) -> tuple[dict[str, Any], str, list[ArtifactRecord]]:
    """The smallest file of each recipe: a document, what is said of it, and the records for the gate."""
    from edgecat.stages.export import record_of
    from edgecat.stages.precision import smallest_within

    documents, lines, records = [], [], []
    for base in chosen:
        tried = smallest_within(victim, dataset, base, most, out, out / "export.log", output)
        records.append(record_of(tried[-1].exported, victim.sha256[:16]))
        path = tried[-1].exported.artifact.path
        steps = [one.document() for one in tried]
        documents.append(records[-1].model_dump(mode="json") | {"path": str(path), "tried": steps})
        lines += [f"{base.name}, {one.told()}" for one in tried]
        lines.append(f"{path}: chosen")
    return {"artifacts": documents}, "\n".join(lines), records


def _foreign(source: str, weights: Path | None, layout: str, numbers: dict[str, tuple[float, ...]]) -> Foreign | None:
    """Somebody's network; None: a checkpoint of ours."""
    from export.networks import Foreign

    if weights is None and (Path(source).is_file() or ":" not in source) and not source.endswith(_PROGRAM):
        if layout != "nchw" or numbers != {"mean": (0.0,), "std": (1.0,)}:
            raise UsageError("a checkpoint of ours knows its own layout and takes pixel / 255")
        return None
    return Foreign(source, weights, layout, **numbers)  # type: ignore[arg-type]


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(map(isfinite, found)):
        raise UsageError(f"{name} {text!r} is not a number, or one for each channel as in 0.485,0.456,0.406")
    return found


def _told(artifact: Artifact, record: ArtifactRecord) -> list[str]:
    parity = record.parity
    lines = [f"{artifact.path}: {record.bytes:,} bytes, agreement {parity.agreement:.4f}, rms {parity.rms:.3g}"]
    for layer in record.layers:
        error = "overwritten" if layer.relative_rms is None else f"{layer.relative_rms:11.4f}"
        lines.append(f"  {error}  {layer.layer}{'  <- parts' if layer.parts else ''}")
    for one in record.elsewhere:
        said = f"agreement {one.agreement:.4f}, rms {one.rms:.3g}, {one.equal:.1%} equal to the bit"
        lines.append(f"  {one.engine} ({one.device_kind}): {one.refused or said}")
    return lines


def _listing(known: dict[str, Recipe], unsupported: dict[str, str]) -> dict[str, Any]:
    return {"recipes": [one.model_dump(mode="json") for one in known.values()], "unsupported": unsupported}


def _table(known: dict[str, Recipe], unsupported: dict[str, str]) -> str:
    heads = ("recipe", "runtime", "precision", "method", "calibrates on", "agrees at least", "and of itself")
    rows = [heads]
    for one in known.values():
        marks = [
            "" if one.per_channel else "one scale a layer",
            "float32 in and out" if one.float_io else "",
            "" if one.delegated else "without XNNPACK",
            f"{one.epochs} epoch of fine-tuning" if one.epochs else "",
        ]
        told = (one.name, one.runtime, one.precision, one.method)
        images = f"{one.calibration_images} images" if one.calibration_images else "-"
        rows.append((*told, images, f"{one.min_agreement:.1%}", ", ".join(filter(None, marks))))
    return "\n".join([*aligned(rows), "", *(f"{name}: not supported: {why}" for name, why in unsupported.items())])
