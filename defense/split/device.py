"""The client's half on a device: exported as a victim is, with smashed data, flattened, where a victim has logits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from defense.split.config import TOGETHER
from defense.split.model import SplitModel, z_shape
from defense.split.storage import Stored
from edge.runner.messages import answer_payload
from edge.runner.wire import PREFIX_BYTES
from export.exporting import Source, export
from export.recipes import Recipe
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import ArtifactError, CheckFailed, DataError, UsageError
from foundation.manifest import Artifact, load_artifact
from victim.training import predict

# What the runner lets out: the model's output as it is.
POLICY = AnswerPolicy("logits")


class DeviceClient(nn.Module):
    """What runs on the device: float32 [N, C, H, W] in [0, 1] to smashed data [N, C' x H' x W'], channels first.

    Raises:
        UsageError: the protection draws noise, which the runner cannot, or there is more than an answer can carry.
    """

    def __init__(self, model: SplitModel, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        if model.protection.randomised:
            raise UsageError(
                f"{model.protection.name} draws noise, a runner does not: what would leave the device is not protected",
                hint="train with another --protection, or infer without --device",
            )
        self.shape = z_shape(model.client, image_shape, model.protection)
        POLICY.width(self.width)
        self.prepare, self.client = model.protection.on_device(), model.client

    @property
    def width(self) -> int:
        """Numbers that leave the device for one image."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        smashed: Tensor = self.client(self.prepare(x)).flatten(1)
        return smashed


@dataclass(frozen=True)
class SplitParity:
    """Split inference with a client half in its runtime, against both halves as float networks in this process.

    Attributes:
        images: how many were compared.
        agreement: share of images with the same top-1 class.
        relative_rms: root mean square difference of the smashed data, over their standard deviation.
    """

    images: int
    agreement: float
    relative_rms: float

    def demand(self, recipe: Recipe) -> None:
        """The gate: the recipe's bound on the agreement holds.

        Raises:
            CheckFailed: it does not.
        """
        if self.agreement < recipe.min_agreement:
            raise CheckFailed(
                f"the client's half as {recipe.name} fails the parity gate on {self.images} images: agreement "
                f"{self.agreement:.4f} (at least {recipe.min_agreement})",
                hint="do not ship it; calibrate on other images, or take an fp32 recipe",
            )


def compare(
    model: SplitModel, client: DeviceClient, images: NDArray[np.uint8], flat: NDArray[np.float32]
) -> SplitParity:
    """Hold smashed data [N, numbers] from a runtime against the float network's, for uint8 images [N, H, W, C]."""
    own = predict(client, images, TOGETHER)
    rms = float(np.sqrt(np.mean(np.square(flat - own, dtype=np.float64))))
    same = answer(model, client, flat).argmax(1) == answer(model, client, own).argmax(1)
    return SplitParity(len(images), float(same.mean()), rms / max(float(own.std()), 1e-12))


def answer(model: SplitModel, client: DeviceClient, flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """The server's logits float32 [N, classes] for smashed data [N, numbers] as they left the device.

    Raises:
        DataError: other than the client's.
    """
    if flat.ndim != 2 or flat.shape[1] != client.width:
        raise DataError(f"smashed data {flat.shape} where (N, {client.width}) are due")
    model.server.eval()
    with torch.no_grad():
        # What came off a wire is read-only, of which torch warns: that is copied.
        z = torch.from_numpy(np.require(flat, requirements=["C", "W"])).reshape(-1, *client.shape)
        parts = [model.server(part).float() for part in torch.split(z, TOGETHER)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def smashed(answers: Answers) -> NDArray[np.float32]:
    """Smashed data float32 [N, numbers] of what a runner answered.

    Raises:
        DataError: it answered under another policy.
    """
    if answers.policy != POLICY or answers.scores is None:
        raise DataError(f"answers under {answers.policy} are no smashed data", hint=f"deploy under {POLICY}")
    return answers.scores


def bytes_leaving(answers: Answers) -> int:
    """Bytes of the frame that carries one image's answer off the device."""
    one = Answers(answers.policy, answers.classes, answers.labels[:1], _first(answers.scores), answers.device_ns[:1])
    return PREFIX_BYTES + len(answer_payload(one, 0))


def export_client(
    stored: Stored, recipe: Recipe, directory: Path, calibration: NDArray[np.uint8], unseen: NDArray[np.uint8]
) -> tuple[Artifact, SplitParity]:
    """Write the client's half as a model file with its manifest.

    Args:
        stored: the trained network.
        recipe: how.
        directory: where the file goes.
        calibration: uint8 [N, H, W, C], of the training split.
        unseen: uint8 [M, H, W, C], to compare on.

    Raises:
        UsageError: this client cannot run on a device; see `DeviceClient`.
        DataError: too few images to calibrate on or to compare with.
    """
    record = stored.record
    client = DeviceClient(stored.model, record.config.image_shape).eval()
    source = Source(
        client,
        record.config.image_shape,
        tuple(f"z{k}" for k in range(client.width)),
        record.client_sha256,
        calibration,
        unseen,
        f"split client ({record.config.protection}, {record.config.depth} blocks)",
    )
    exported = export(source, recipe, directory)
    return exported.artifact, compare(stored.model, client, unseen, exported.logits)


def exported_client(stored: Stored, recipe: Recipe, directory: Path) -> Artifact | None:
    """What `export_client` wrote there for this very client; None where there is nothing, or something else."""
    try:
        artifact = load_artifact(directory / recipe.file_name)
    except ArtifactError:
        return None
    return artifact if artifact.manifest.victim_sha256 == stored.record.client_sha256 else None


def _first(scores: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return None if scores is None else scores[:1]
