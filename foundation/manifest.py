"""The manifest that travels with a model file: what it is, where it came from, how images become its input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foundation.errors import ArtifactError
from foundation.files import sha256_file, write_text
from foundation.settings_files import first_fault

SCHEMA_VERSION = 1

Runtime = Literal["tflite", "executorch"]
# `unknown`: of a file that somebody else made.
Precision = Literal["fp32", "fp16", "int8", "int8_weights", "int8_dynamic", "int16x8", "unknown"]

# Both formats are flatbuffers: bytes 4..8 name the kind.
_MAGIC: dict[str, tuple[bytes, ...]] = {"tflite": (b"TFL3",), "executorch": (b"ET12", b"ET13")}
SUFFIX: dict[str, str] = {"tflite": ".tflite", "executorch": ".pte"}
_RUNTIME_OF_SUFFIX: dict[str, Runtime] = {".tflite": "tflite", ".pte": "executorch"}


class ImageSpec(BaseModel):
    """The image as an app has it: uint8, height x width x channels (NHWC in a batch).

    The model's real-valued input is x = (pixel / 255 - mean) / std, per channel.
    """

    model_config = ConfigDict(frozen=True)

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    channels: int = Field(gt=0)
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _one_per_channel(self) -> ImageSpec:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{len(self.mean)} means and {len(self.std)} stds for {self.channels} channels")
        if not all(map(math.isfinite, self.mean + self.std)) or min(self.std) <= 0:
            raise ValueError("a mean that is no number, or a std that is not positive")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        return self.height, self.width, self.channels


class TensorSpec(BaseModel):
    """One tensor of the model file. For int8: real = (stored - zero_point) * scale."""

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, ...]
    dtype: Literal["float32", "int8", "uint8"]
    layout: Literal["nhwc", "nchw", "nc"]
    scale: float | None = None
    zero_point: int | None = None


class Manifest(BaseModel):
    """Everything that must be known to run a model file and to trust it."""

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA_VERSION
    name: str
    file: str
    bytes: int
    sha256: str
    runtime: Runtime
    precision: Precision
    versions: dict[str, str]
    recipe: str
    image: ImageSpec
    input: TensorSpec
    output: TensorSpec
    class_names: tuple[str, ...]
    victim_sha256: str
    victim_architecture: str | None = None
    calibration_sha256: str | None = None


@dataclass(frozen=True)
class Artifact:
    """A model file and its manifest, checked against each other."""

    path: Path
    manifest: Manifest

    @property
    def manifest_path(self) -> Path:
        """Where the manifest stands: beside the model, with `.json` added."""
        return manifest_path(self.path)


def manifest_path(model: Path) -> Path:
    """The manifest's place beside a model file."""
    return model.with_name(model.name + ".json")


def save_manifest(model: Path, manifest: Manifest) -> Artifact:
    """Write the manifest beside its model file."""
    write_text(manifest_path(model), manifest.model_dump_json(indent=2) + "\n")
    return Artifact(model, manifest)


def load_artifact(model: Path, expect: Runtime | None = None) -> Artifact:
    """Read a model file's manifest and check the file against it.

    Args:
        model: the `.tflite` or `.pte` file.
        expect: the runtime it is meant for; None goes by the file's suffix, then by what the manifest says.

    Raises:
        ArtifactError: missing, torn, of another format, or not what its manifest says.
    """
    if not model.is_file():
        raise ArtifactError(f"no model file {model}")
    check_format(model, expect or _RUNTIME_OF_SUFFIX.get(model.suffix))
    place = manifest_path(model)
    try:
        manifest = Manifest.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{model} has no manifest {place.name}", hint="export it with edgecat export") from None
    except OSError as error:
        raise ArtifactError(f"cannot read manifest {place}: {error.strerror}") from error
    except ValidationError as error:
        raise ArtifactError(f"cannot read manifest {place}: {first_fault(error)}", hint="export it again") from error
    if manifest.schema_version != SCHEMA_VERSION:
        raise ArtifactError(
            f"manifest {place} has schema version {manifest.schema_version}, not {SCHEMA_VERSION}",
            hint="it was made by another edgecat: export it again",
        )
    check_format(model, manifest.runtime)
    if (size := model.stat().st_size) != manifest.bytes:
        raise ArtifactError(
            f"{model} is torn: {size} bytes where its manifest says {manifest.bytes}", hint="export it again"
        )
    if sha256_file(model) != manifest.sha256:
        raise ArtifactError(f"{model} is not the file its manifest describes (sha256)", hint="export it again")
    return Artifact(model, manifest)


def check_format(model: Path, runtime: Runtime | None) -> Runtime:
    """Tell a model file's format from its content.

    Raises:
        ArtifactError: neither format, or not the one that `runtime` takes.
    """
    with model.open("rb") as stream:
        magic = stream.read(8)[4:8]
    found = next((kind for kind, known in _MAGIC.items() if magic in known), None)
    if found is None:
        raise ArtifactError(f"{model} is neither a .tflite nor a .pte file (or is torn)")
    if runtime is not None and found != runtime:
        raise ArtifactError(f"{model} holds a {SUFFIX[found]} model where a {SUFFIX[runtime]} is meant")
    return "tflite" if found == "tflite" else "executorch"
