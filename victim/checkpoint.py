"""A trained network on disk: safetensors (no pickle, so opening one runs nothing) with what is needed to rebuild it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from foundation.errors import ArtifactError, UsageError, first_line
from foundation.files import replacing, sha256_file
from victim.dataset import Dataset
from victim.models import build


class CheckpointHeader(BaseModel):
    """What the network is and what it was trained on."""

    model_config = ConfigDict(frozen=True)

    architecture: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    dataset: str
    dataset_sha256: str
    epochs: int
    seconds_train: float


def header_for(dataset: Dataset, architecture: str, seconds: float, epochs: int = 0) -> CheckpointHeader:
    """A header for a network that answers for a data set's images and classes.

    Args:
        dataset: the victim's; a copycat answers for the same.
        architecture: see `victim.models.build`.
        seconds: that it was trained for.
        epochs: that it was trained for; 0 where nobody counted.
    """
    return CheckpointHeader(
        architecture=architecture,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        dataset=dataset.name,
        dataset_sha256=dataset.sha256,
        epochs=epochs,
        seconds_train=seconds,
    )


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, its header and the sha256 of its file."""

    network: nn.Module
    header: CheckpointHeader
    sha256: str


def save(network: nn.Module, header: CheckpointHeader, path: Path) -> Checkpoint:
    """Write weights and header to one safetensors file, whole or not at all.

    Raises:
        UsageError: the place cannot be written.
    """
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    with replacing(path) as temporary:
        try:
            save_file(state, temporary, metadata={"edgecat": header.model_dump_json()})
        except SafetensorError as error:
            # A full disk, told in Rust's words.
            raise UsageError(f"cannot write {path}: {first_line(error)}", hint="free some space") from error
    return Checkpoint(network.eval(), header, sha256_file(path))


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        ArtifactError: missing, torn, without our header, or not fitting its architecture.
    """
    if not path.is_file():
        raise ArtifactError(f"no checkpoint {path}", hint="train one with edgecat train")
    try:
        with safe_open(path, framework="pt") as stored:
            header = CheckpointHeader.model_validate_json((stored.metadata() or {})["edgecat"])
            state = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        height_width_channels = header.image_shape
        network = build(
            header.architecture, height_width_channels[2], len(header.class_names), torch.Generator().manual_seed(0)
        )
        network.load_state_dict(state)
    except (SafetensorError, KeyError, ValidationError, RuntimeError) as error:
        raise ArtifactError(f"{path} is not a checkpoint of ours, or is torn: {str(error).splitlines()[0]}") from error
    return Checkpoint(network.eval(), header, sha256_file(path))
