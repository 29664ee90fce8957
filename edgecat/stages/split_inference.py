"""Answer with a split network: both halves here, or the client's on a device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from defense.split.device import (
    POLICY,
    DeviceClient,
    SplitParity,
    answer,
    bytes_leaving,
    compare,
    export_client,
    exported_client,
    smashed,
)
from defense.split.storage import Stored
from defense.split.training import logits
from edge.deployment import RunnerOptions, deploy
from edge.devices.opening import open_device
from edgecat.quiet import log_output
from edgecat.stages.data import parity_images
from export.recipes import Recipe
from foundation.errors import UsageError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset

DEVICE_FOLDER = "device"


@dataclass(frozen=True)
class Inferred:
    """Answers of a split network.

    Attributes:
        logits: float32 [N, classes].
        numbers: how many leave the client for one image.
        bytes_per_image: that leave the device, framing included; None on the host.
        device_ns: uint32 [N], of the client's half on the device; None on the host.
        parity: against both halves on the host, on these images; None on the host.
        engine: what ran the client's half.
    """

    logits: NDArray[np.float32]
    numbers: int
    bytes_per_image: int | None
    device_ns: NDArray[np.uint32] | None
    parity: SplitParity | None
    engine: str


def infer_on_host(stored: Stored, images: NDArray[np.uint8]) -> Inferred:
    """Both halves in this process, the protection as in training (but without labels). Images uint8 [N, H, W, C]."""
    model, config = stored.model, stored.record.config
    with torch.no_grad():
        z = model.smashed(torch.zeros(1, config.image_shape[2], *config.image_shape[:2]))
    answered = logits(model, model.server, images, config.seed)
    return Inferred(answered, z.numel(), None, None, None, f"torch {torch.__version__}")


def infer_on_device(
    stored: Stored,
    artifact: Artifact,
    images: NDArray[np.uint8],
    device: str | None,
    key: Path | None,
    options: RunnerOptions,
    progress: Progress = SILENT,
) -> Inferred:
    """The client's half on a device, the server's here.

    A device has no gradients: its images leave as `Protection.on_device` prepares them.

    Raises:
        DeviceError: the device or the runner failed.
    """
    client = DeviceClient(stored.model, stored.record.config.image_shape).eval()
    with open_device(device, key) as opened, deploy(opened, artifact, POLICY, options, progress) as deployed:
        answers = deployed.query(images)
        engine = deployed.hello.engine
    flat = smashed(answers)
    return Inferred(
        answer(stored.model, client, flat),
        client.width,
        bytes_leaving(answers),
        answers.device_ns,
        compare(stored.model, client, images, flat),
        engine,
    )


def client_for_device(
    stored: Stored, directory: Path, recipe: Recipe, dataset: Dataset | None, progress: Progress = SILENT
) -> Artifact:
    """The client's half as a model file, exported through the parity gate where that has not been done before.

    Args:
        stored: the network.
        directory: its directory.
        recipe: how to export.
        dataset: what it was trained on: calibrates and compares; None does with what is there.
        progress: says what is going on.

    Raises:
        UsageError: there is nothing yet, and no data set to calibrate on.
        DataError: another data set.
        CheckFailed: the file does not answer as its network does.
    """
    DeviceClient(stored.model, stored.record.config.image_shape)
    folder = directory / DEVICE_FOLDER
    if (artifact := exported_client(stored, recipe, folder)) is not None:
        return artifact
    if dataset is None:
        raise UsageError(f"the client is not exported by {recipe.name} yet", hint="give its training data: --data")
    stored.check_dataset(dataset)
    progress.say(f"exporting the client by {recipe.name}")
    with log_output(folder / "export.log"):
        artifact, parity = export_client(stored, recipe, folder, dataset.train.images, parity_images(dataset))
    try:
        parity.demand(recipe)
    except BaseException:
        artifact.manifest_path.unlink(missing_ok=True)
        raise
    return artifact


def told(stored: Stored, inferred: Inferred, truth: NDArray[np.int64] | None) -> tuple[dict[str, Any], str]:
    """What was inferred, as a document and as a text for people; `truth` are the images' labels, if known."""
    names = stored.record.class_names
    best = inferred.logits.argmax(1)
    accuracy = None if truth is None else float((best == truth).mean())
    document = {
        "protection": stored.record.config.protection,
        "engine": inferred.engine,
        "class_names": list(names),
        "labels": best.tolist(),
        "logits": inferred.logits.tolist(),
        "accuracy": accuracy,
        "smashed_numbers": inferred.numbers,
        "bytes_per_image": inferred.bytes_per_image,
        "device_ns": None if inferred.device_ns is None else inferred.device_ns.tolist(),
        "parity": None if inferred.parity is None else asdict(inferred.parity),
    }
    lines = [] if accuracy is not None else [f"{row}\t{names[label]}" for row, label in enumerate(best)]
    if accuracy is not None:
        lines.append(f"{accuracy:.1%} of {len(best)} test images, client's half in {inferred.engine}")
    if inferred.parity is not None and inferred.device_ns is not None:
        lines.append(
            f"as both halves on the host: {inferred.parity.agreement:.2%} of {inferred.parity.images} labels; "
            f"{inferred.bytes_per_image:,} bytes leave the device for an image, "
            f"{np.median(inferred.device_ns) / 1e3:.0f} µs (median) on it"
        )
    return document, "\n".join(lines)
