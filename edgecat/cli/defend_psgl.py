"""`edgecat defend psgl`: train a split network, and answer with its two halves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output

if TYPE_CHECKING:
    from defense.split.storage import Stored
    from victim.dataset import Dataset

app = typer.Typer(
    no_args_is_help=True,
    help="Split learning with and without protection: the client keeps images and first layers, the server the rest.",
)

Directory = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="What edgecat defend psgl train wrote.")]


@app.command("train")
def train(
    out: Annotated[Path, typer.Option("--out", help="Directory for both halves, the record and checkpoints.")],
    data: options.Data = "phantom",
    protection: Annotated[
        str,
        typer.Option(
            "--protection",
            help="none, psgl[:normalised|iterated], noise:S, clip:NORM[,NOISE], nopeek:W, aware[:W]; several joined by "
            "+. docs/psgl.md, docs/inversion.md.",
        ),
    ] = "psgl",
    epochs: options.Epochs = None,
    seed: options.Seed = 0,
    depth: Annotated[
        Optional[int],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Option(
            "--depth", min=1, max=7, help="Convolutions that stay with the client. Default: as the protection needs."
        ),
    ] = None,
    width: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--width", min=1, help="Channels of what leaves the client. Default: as the network has them."),
    ] = None,
    processes: Annotated[
        bool, typer.Option("--processes/--in-process", help="The server in a process of its own, or in this one.")
    ] = True,
    wire: Annotated[
        str, typer.Option("--wire", help="float32 or bfloat16: how numbers travel between processes.")
    ] = "float32",
    every: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--every", min=1, help="Steps between checkpoints. Default: one after each epoch."),
    ] = None,
    transcript: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--transcript", help="Keep what the server sees here, a safetensors file a message."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last step both halves have kept.")] = False,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    json: options.Json = False,
) -> None:
    """Train a split network; client and server are two processes, and either may die and be started again."""
    with Output(json) as output:
        from edgecat.settings import make_settings

        settings = make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels)
        from edgecat.stages.data import load_dataset
        from edgecat.stages.split import SplitPlan, step_costs, train_split_network

        plan = SplitPlan(protection, seed, epochs, depth, width, processes, wire, every, transcript)
        dataset = load_dataset(settings, output)
        record = train_split_network(dataset, plan, out, resume=resume, progress=output)
        text = f"{out}: {record.config.protection}, {record.accuracy:.1%} of {len(dataset.test)} test images"
        output.result(record.model_dump(mode="json") | {"directory": str(out)}, f"{text}; {step_costs(record)}")


@app.command("infer")
def infer(
    model: Directory,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--images", help="A folder of pictures, or an .npz with arrays. Default: the test split of --data."
        ),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--data", help="What it was trained on: its test split is answered, its training images calibrate."
        ),
    ] = None,
    device: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--device", help="The client's half answers there: see edgecat devices. Default: both halves here."
        ),
    ] = None,
    key: options.Key = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="How the client's half is exported: see edgecat export.")
    ] = "tflite_int8",
    threads: options.Threads = 1,
    runner: options.Runner = "auto",
    cpus: options.Cpus = None,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    json: options.Json = False,
) -> None:
    """Answer by split inference: the client's half on a device, or here; the server's half here."""
    with Output(json) as output:
        from export.recipes import find_recipe
        from foundation.errors import UsageError

        chosen = find_recipe(recipe)
        if images is None and data is None:
            raise UsageError("nothing to classify", hint="give --images, or --data for its test split")
        # Late: a wrong recipe is told before torch is loaded.
        from defense.split.storage import load_split
        from edge.deployment import RunnerOptions
        from edgecat.stages.query import read_images
        from edgecat.stages.split_inference import client_for_device, infer_on_device, infer_on_host, told

        stored = load_split(model)
        dataset = None if data is None else _training_data(stored, data, size, skip_bad, labels, output)
        if images is not None:
            pictures, truth = read_images(images, stored.record.config.image_shape), None
        else:
            assert dataset is not None
            pictures, truth = dataset.test.images, dataset.test.labels
        if device is None:
            inferred = infer_on_host(stored, pictures)
        else:
            artifact = client_for_device(stored, model, chosen, dataset, output)
            serving = RunnerOptions(runner, None, threads, cpus)
            inferred = infer_on_device(stored, artifact, pictures, device, key, serving, output)
        output.result(*told(stored, inferred, truth))


def _training_data(
    stored: Stored, data: str, size: int | None, skip_bad: bool, labels: Path | None, output: Output
) -> Dataset:
    """The data set that a network was trained on, or an error."""
    from edgecat.settings import make_settings
    from edgecat.stages.data import load_dataset

    seed = stored.record.config.seed
    dataset = load_dataset(make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels), output)
    stored.check_dataset(dataset)
    return dataset
