"""From a trained network to a checked artefact on disk."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.calibration import Calibration, Written, calibration_path
from export.layers import LAYER_IMAGES, LayerError, of_file, of_graph
from export.material import Material, Shared
from export.parity import Parity, check_count, compare, runtime_logits
from export.recipes import Recipe
from foundation.errors import ArtifactError, DataError, EdgecatError, first_line
from foundation.files import replacing, sha256_arrays, sha256_file, write_text
from foundation.manifest import Artifact, ImageSpec, Manifest, TensorSpec, save_manifest
from victim.step import as_input
from victim.training import predict

# Share of the calibration images.
_DUPLICATES = 0.02
_PACKAGES = {
    "tflite": ("torch", "torchao", "litert-torch", "litert-converter", "ai-edge-litert", "ai-edge-quantizer"),
    "executorch": ("torch", "torchao", "executorch"),
}


@dataclass(frozen=True)
class Source:
    """What is exported.

    Attributes:
        network: takes float32 [N, C, H, W] in [0, 1], gives logits [N, classes].
        image_shape: height, width, channels.
        class_names: one for each logit.
        sha256: of the victim's checkpoint.
        calibration: uint8 [N, H, W, C], of the training split: the first set ranges, fine-tuning sees more of them.
        unseen: uint8 [M, H, W, C], for the parity gate: neither trained on nor calibrated on.
        architecture: the network's name, where it has one.
        shared: what its recipes have in common.
    """

    network: nn.Module
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    sha256: str
    calibration: NDArray[np.uint8]
    unseen: NDArray[np.uint8]
    architecture: str | None = None
    # Not handed on by `dataclasses.replace`: another network begins anew.
    shared: Shared = field(init=False, default_factory=Shared)

    @cached_property
    def eager(self) -> NDArray[np.float32]:
        """Logits float32 [M, classes] of the network on the unseen images, what every file is held against."""
        return predict(self.network, self.unseen)

    def traceable(self) -> nn.Module:
        """A copy of the network for exporters, which may leave marks on it.

        In plain memory format: training's would be traced in.
        """
        plain: nn.Module = copy.deepcopy(self.network).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        return plain.eval()


@dataclass(frozen=True)
class Exported:
    """An artefact, how it compares with its network, and what it took.

    Attributes:
        artifact: the file and its manifest.
        parity: of the gate; the caller decides what to do where it does not hold.
        eager: float32 [M, classes], of the network on the unseen images.
        logits: float32 [M, classes], of the file in its runtime on them.
        seconds: export and gate, wall clock.
        layers: how far each layer is from the network's; empty where nobody asked and the gate holds, and where the
            file does not tell its layers.
    """

    artifact: Artifact
    parity: Parity
    eager: NDArray[np.float32]
    logits: NDArray[np.float32]
    seconds: float
    layers: tuple[LayerError, ...] = ()


def export(source: Source, recipe: Recipe, directory: Path, *, layers: bool = False) -> Exported:
    """Export by a recipe, write file and manifest, and hold the file against its network.

    Args:
        source: what is exported.
        recipe: how.
        directory: for the file and its manifest.
        layers: look at every layer even if the gate holds.

    Raises:
        DataError: too few images to calibrate on or to compare with.
        ArtifactError: the exporter does not know what the network does.
    """
    start = time.perf_counter()
    if len(source.calibration) < max(recipe.calibration_images, 1):
        raise DataError(
            f"{recipe.name} calibrates on {recipe.calibration_images} images, {len(source.calibration)} given"
        )
    check_count(len(source.unseen))
    _demand_apart(source.calibration[: recipe.calibration_images], source.unseen)
    path = directory / recipe.file_name
    with replacing(path) as temporary:
        written = _written(recipe, source, temporary)
    artifact = save_manifest(path, _manifest(source, recipe, path))
    if recipe.calibration_images:
        write_text(calibration_path(path), _calibration(artifact.manifest, recipe, written).model_dump_json(indent=1))
    logits = runtime_logits(artifact, source.unseen)
    exported = source.shared.once(written.graph, lambda: _one_by_one(written.graph, source.unseen))
    parity = compare(source.eager, exported, logits, recipe)
    found = _layer_errors(source, recipe, artifact, written) if layers or not parity.ok else []
    return Exported(artifact, parity, source.eager, logits, time.perf_counter() - start, tuple(found))


def _layer_errors(source: Source, recipe: Recipe, artifact: Artifact, written: Written) -> list[LayerError]:
    """Each layer against the float network's: of a `.tflite` file, or of a `.pte` file's graph before the delegate."""
    images, bound = source.unseen[:LAYER_IMAGES], recipe.max_relative_rms
    if recipe.runtime == "executorch":
        graph = written.graph
        assert isinstance(graph, nn.Module)
        return of_graph(graph, source.traceable(), as_input(images).contiguous(), bound)
    from export import tflite

    material = Material.of(as_input(source.calibration[:1]), 0)
    plain = tflite.float_file(source.traceable(), material, source.shared)
    return of_file(artifact.path.read_bytes(), plain, (images / 255).astype(np.float32), bound)


def _calibration(manifest: Manifest, recipe: Recipe, written: Written) -> Calibration:
    return Calibration(
        recipe=recipe.name,
        method="min_max" if recipe.method == "aeq" else "histogram",
        images=recipe.calibration_images,
        images_sha256=manifest.calibration_sha256 or "",
        ranges=written.ranges,
    )


def _written(recipe: Recipe, source: Source, path: Path) -> Written:
    """Write the file."""
    images = source.calibration[: max(recipe.calibration_images, 1)]
    state = path.parent / f".{recipe.name}.calibrating"
    material = Material.of(as_input(images), recipe.calibration_images, state)
    try:
        network = source.traceable() if not recipe.epochs else _tuned(source, recipe)
        return _write(recipe, network, material, path, source.shared)
    except (EdgecatError, OSError):
        raise
    except Exception as error:
        # Whatever torch, litert-torch and ExecuTorch do not know is theirs to say, in a hundred ways.
        raise ArtifactError(
            f"{recipe.name}: the exporter does not take this network: {first_line(error)}",
            hint="another recipe may; edgecat export --list tells them",
        ) from error


def _tuned(source: Source, recipe: Recipe) -> nn.Module:
    """A copy of the network after fine-tuning, which recipes of both runtimes share."""
    from export.fine_tuning import fine_tune

    def learn() -> nn.Module:
        images = as_input(source.calibration)
        return fine_tune(source.traceable(), images, recipe.epochs, per_channel=recipe.per_channel)

    return copy.deepcopy(source.shared.once(("tuned", recipe.epochs, recipe.per_channel), learn))


def _demand_apart(calibration: NDArray[np.uint8], unseen: NDArray[np.uint8]) -> None:
    """No image may both set ranges and judge them; the same picture of two patients, as data sets have them, may."""
    judges = {image.tobytes() for image in unseen}
    both = sum(image.tobytes() in judges for image in calibration)
    if both > max(1, _DUPLICATES * len(calibration)):
        raise DataError(
            f"{both} of {len(calibration)} calibration images are among those of the parity gate",
            hint="calibrate on training images; test images judge the result",
        )


def _write(recipe: Recipe, network: nn.Module, material: Material, path: Path, shared: Shared) -> Written:
    if recipe.runtime == "tflite":
        from export import tflite

        return tflite.write(network, material, recipe, path, shared)
    from export import executorch

    return executorch.write(network, material, recipe, path)


def _manifest(source: Source, recipe: Recipe, path: Path) -> Manifest:
    height, width, channels = source.image_shape
    input_spec, output_spec = _tensor_specs(source, recipe, path)
    calibration = source.calibration[: recipe.calibration_images]
    return Manifest(
        name=recipe.name,
        file=path.name,
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        runtime=recipe.runtime,
        precision=recipe.precision,
        versions={name: version(name) for name in _PACKAGES[recipe.runtime]},
        recipe=recipe.name,
        # Our networks take pixel / 255; normalisation beyond that is the network's own affair.
        image=ImageSpec(height=height, width=width, channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels),
        input=input_spec,
        output=output_spec,
        class_names=source.class_names,
        victim_sha256=source.sha256,
        victim_architecture=source.architecture,
        calibration_sha256=sha256_arrays(calibration) if recipe.calibration_images else None,
    )


def _tensor_specs(source: Source, recipe: Recipe, path: Path) -> tuple[TensorSpec, TensorSpec]:
    if recipe.runtime == "tflite":
        from export.tensors import tensor_specs

        return tensor_specs(path)
    from export import executorch

    return executorch.tensor_specs(source.image_shape, len(source.class_names))


def _one_by_one(graph: Callable[[Tensor], Tensor], images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of an exported graph, which takes one image at a time."""
    batch = as_input(images).contiguous()
    with torch.no_grad():
        parts = [graph(batch[row : row + 1]) for row in range(len(batch))]
    return np.asarray(torch.cat(parts).numpy(), np.float32)
