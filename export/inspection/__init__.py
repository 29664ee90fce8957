"""What a model file says of itself: operators, parameters, MACs, delegates, versions; anybody's `.tflite` or `.pte`."""

from __future__ import annotations

from pathlib import Path

from export.inspection import executorch, tflite
from export.inspection.findings import assemble
from export.inspection.reader import Source, Torn
from export.inspection.records import Inspection, TensorTold
from foundation.errors import ArtifactError
from foundation.manifest import SUFFIX, Runtime, TensorSpec, check_format, load_artifact, manifest_path

__all__ = ["Inspection", "inspect_model"]

# Of a flatbuffer's reach; the file is read into memory.
_MOST_BYTES = 2**31
_BY_SUFFIX: dict[str, Runtime] = {SUFFIX["tflite"]: "tflite", SUFFIX["executorch"]: "executorch"}


def inspect_model(path: Path) -> Inspection:
    """Read a model file's structure. Nothing of it is run, and no runtime loads it.

    Args:
        path: a `.tflite` or `.pte` file, under any name that does not claim to be the other; with a manifest of ours
            beside it or without.

    Raises:
        ArtifactError: it is neither, cannot be read, or is not what its format says.
    """
    if not path.is_file():
        raise ArtifactError(f"no model file {path}")
    try:
        runtime, data = check_format(path, _BY_SUFFIX.get(path.suffix.lower())), _read(path)
        read = tflite.read if runtime == "tflite" else executorch.read
        version, found = read(Source(data))
    except Torn as torn:
        raise ArtifactError(f"{path} is torn: {torn}", hint="export it, or fetch it, again") from None
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    return _with_manifest(path, assemble(str(path), runtime, version, len(data), found))


def _read(path: Path) -> bytes:
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise ArtifactError(f"{path} has {size:,} bytes: at most {_MOST_BYTES:,} are read")
    return path.read_bytes()


def _with_manifest(path: Path, told: Inspection) -> Inspection:
    """Add what a manifest beside the file knows, and where it contradicts the file."""
    if not manifest_path(path).exists():
        return told
    try:
        manifest = load_artifact(path).manifest
    except ArtifactError as error:
        return told.model_copy(update={"warnings": (*told.warnings, error.message)})
    pairs = (("input", manifest.input, told.inputs), ("output", manifest.output, told.outputs))
    warnings = [warning for name, says, have in pairs if (warning := _contradiction(name, says, have))]
    return told.model_copy(update={"recipe": manifest.recipe, "warnings": (*told.warnings, *warnings)})


def _contradiction(name: str, says: TensorSpec, have: tuple[TensorTold, ...]) -> str | None:
    meant = (says.shape, says.dtype, says.scale, says.zero_point)
    if [(one.shape, one.dtype, one.scale, one.zero_point) for one in have] == [meant]:
        return None
    return f"the manifest's {name} is not the file's: {says.dtype} {list(says.shape)}, scale {says.scale}"
