"""`edgecat data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli import options
from edgecat.cli.output import Output

app = typer.Typer(no_args_is_help=True, help="Look at the data that a victim is trained on.")


@app.callback()
def _data() -> None:
    """Keeps `show` a command of its own."""


@app.command("show")
def show(
    data: options.Data = "phantom",
    out: Annotated[Path, typer.Option("--out", help="The picture, a PNG file.")] = Path("contact-sheet.png"),
    per_class: Annotated[int, typer.Option("--per-class", min=1, help="Images of each class.")] = 8,
    seed: options.Seed = 0,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    json: options.Json = False,
) -> None:
    """Draw a contact sheet: some test images of every class, a row each."""
    with Output(json) as output:
        from benchmarks.report import contact_sheet
        from edgecat.settings import make_settings
        from edgecat.stages.data import load_dataset
        from foundation.files import write_bytes

        settings = make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels)
        dataset = load_dataset(settings, output)
        test = dataset.test
        write_bytes(out, contact_sheet(test.images, test.labels, dataset.class_names, per_class))
        sizes = {name: len(split) for name, split in dataset.splits.items()}
        document = {
            "data": dataset.name,
            "sha256": dataset.sha256,
            "class_names": list(dataset.class_names),
            "image_shape": list(dataset.image_shape),
            "images": sizes,
            "contact_sheet": str(out),
        }
        counts = ", ".join(f"{count} {name}" for name, count in sizes.items())
        output.result(document, f"{dataset.name}: {', '.join(dataset.class_names)}; images: {counts}\n{out}")
