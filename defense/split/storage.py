"""A trained split network on disk: a file for each half, and what was recorded of their training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from defense.protections import find_protection
from defense.split.config import SplitConfig
from defense.split.costs import Costs
from defense.split.model import SplitModel, build_split
from defense.split.state import load_network, prefixed, read_state, under, write_state
from defense.split.training import Epoch
from foundation.errors import ArtifactError, DataError
from foundation.files import sha256_file, write_text
from foundation.settings_files import first_fault
from victim.dataset import Dataset

CLIENT_FILE = "client.safetensors"
SERVER_FILE = "server.safetensors"
RECORD_FILE = "split.json"
CHECKPOINTS = "checkpoints"


class SplitRecord(BaseModel):
    """What is known of a trained split network.

    Attributes:
        config: of network and training.
        dataset: its name.
        dataset_sha256: of its content and splits.
        class_names: one for each logit.
        processes: whether client and server were two processes.
        history: loss and validation accuracy of each epoch.
        costs: raw, a number for each step; see `defense.split.costs`.
        accuracy: share of test images labelled rightly, by both halves in one process.
        seconds: of training, the last stretch where it was resumed.
        client_sha256: of the client's file.
        server_sha256: of the server's.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    config: SplitConfig
    dataset: str
    dataset_sha256: str
    class_names: tuple[str, ...]
    processes: bool
    history: tuple[Epoch, ...]
    costs: Costs
    accuracy: float
    seconds: float
    client_sha256: str
    server_sha256: str


@dataclass(frozen=True)
class Stored:
    """A split network in evaluation mode, and its record."""

    model: SplitModel
    record: SplitRecord

    def check_dataset(self, dataset: Dataset) -> None:
        """Whether the network was trained on this data set.

        Raises:
            DataError: it was not: its test split may have been somebody's training split.
        """
        if self.record.dataset_sha256 != dataset.sha256:
            raise DataError(
                f"this split network was trained on {self.record.dataset}, not on this {dataset.name} with this split",
                hint="give the data and seed it was trained with",
            )


def save_client(directory: Path, model: SplitModel, config: SplitConfig) -> str:
    """Write the client's half and what its protection has learnt; gives the file's SHA-256."""
    state = prefixed("network", model.client.state_dict()) | prefixed("protection", model.protection.state())
    write_state(directory / CLIENT_FILE, state, config.model_dump_json())
    return sha256_file(directory / CLIENT_FILE)


def save_server(directory: Path, network: nn.Module, config: SplitConfig) -> str:
    """Write the server's half; gives the file's SHA-256."""
    write_state(directory / SERVER_FILE, network.state_dict(), config.model_dump_json())
    return sha256_file(directory / SERVER_FILE)


def load_halves(directory: Path, config: SplitConfig) -> SplitModel:
    """Both halves from their files, in evaluation mode.

    Raises:
        ArtifactError: missing, torn, or of another network.
    """
    model = empty(config)
    client, _ = read_state(directory / CLIENT_FILE)
    load_network(model.client, under("network", client), "client")
    model.protection.load_state(under("protection", client))
    load_network(model.server, read_state(directory / SERVER_FILE)[0], "server")
    return model.eval()


def empty(config: SplitConfig) -> SplitModel:
    """Both halves, untrained."""
    return build_split(
        config.image_shape,
        config.classes,
        find_protection(config.protection),
        torch.Generator().manual_seed(config.seed),
        depth=config.depth,
        width=config.width,
    )


def save_record(directory: Path, record: SplitRecord) -> None:
    """Write the record: last of all, so that where it stands the rest is whole."""
    write_text(directory / RECORD_FILE, record.model_dump_json(indent=1) + "\n")


def load_record(directory: Path) -> SplitRecord:
    """Read the record.

    Raises:
        ArtifactError: missing, or not ours.
    """
    path = directory / RECORD_FILE
    try:
        return SplitRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"no split network in {directory}", hint="train one: edgecat defend psgl train") from error
    except ValidationError as error:
        raise ArtifactError(f"cannot read {path}: {first_fault(error)}") from error


def load_split(directory: Path) -> Stored:
    """Read a trained split network.

    Raises:
        ArtifactError: missing, torn, or a half is not the one that was recorded.
    """
    record = load_record(directory)
    for name, expected in ((CLIENT_FILE, record.client_sha256), (SERVER_FILE, record.server_sha256)):
        path = directory / name
        if not path.is_file() or sha256_file(path) != expected:
            raise ArtifactError(f"{path} is not the half that {RECORD_FILE} describes", hint="train it again")
    return Stored(load_halves(directory, record.config), record)
