"""`edgecat export`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output
from foundation.errors import UsageError

if TYPE_CHECKING:
    from benchmarks.records import ArtifactRecord
    from export.recipes import Recipe
    from foundation.manifest import Artifact

_ALL = "all"


def export(
    checkpoint: Annotated[
        Optional[Path],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Argument(help="A checkpoint that edgecat train wrote.", show_default=False),
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
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere",
            help="Hold each file against its network on --device too, and in tflite-runtime 2.14 if that is set up.",
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
    """Export a victim to TFLite and ExecuTorch, through the parity gate (exit code 1 where it does not hold).

    Give the data and seed that it was trained with: training images calibrate, unseen ones are compared.
    """
    with Output(json) as output:
        from edgecat.settings import make_settings
        from export.recipes import RECIPES, STANDARD, UNSUPPORTED, find_recipe, load_recipes

        own = {} if recipes is None else load_recipes(recipes)
        known = RECIPES | own
        if listed:
            output.result(_listing(known, UNSUPPORTED), _table(known, UNSUPPORTED))
            return
        if checkpoint is None:
            raise UsageError("no checkpoint to export", hint="name one that edgecat train wrote, or ask for --list")
        names = [name for one in recipe or STANDARD for name in (known if one == _ALL else (one,))]
        chosen = tuple(find_recipe(name, own) for name in dict.fromkeys(names))
        # Late: a wrong recipe is told before torch is loaded.
        from edgecat.stages.data import load_dataset
        from edgecat.stages.export import export_victim, gate
        from edgecat.stages.victim import load_victim

        settings = make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels)
        dataset = load_dataset(settings, output)
        victim = load_victim(checkpoint, dataset)
        from edge.devices.opening import open_device

        with open_device(device, key) if everywhere else nullcontext() as opened:
            made = [
                *export_victim(
                    victim, dataset, chosen, out, victim.sha256[:16], out / "export.log", output,
                    device=opened, elsewhere=everywhere,
                )
            ]  # fmt: skip
        lines = [line for artifact, record in made for line in _told(artifact, record)]
        documents = [record.model_dump(mode="json") | {"path": str(artifact.path)} for artifact, record in made]
        left_out = UNSUPPORTED if _ALL in (recipe or ()) else {}
        lines += [f"{name}: not supported: {why}" for name, why in left_out.items()]
        output.result({"artifacts": documents, "unsupported": left_out}, "\n".join(lines))
        for _, record in made:
            gate(record)


def _told(artifact: Artifact, record: ArtifactRecord) -> list[str]:
    parity = record.parity
    lines = [f"{artifact.path}: {record.bytes:,} bytes, agreement {parity.agreement:.4f}, rms {parity.rms:.3g}"]
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
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", *(f"{name}: not supported: {why}" for name, why in unsupported.items())])
