"""A model file that somebody else made: looked at, copied, and given a manifest. Nothing is exported again."""

from __future__ import annotations

import shutil
from importlib.metadata import version
from pathlib import Path

from export.normalisation import by_channel
from export.probe import Probed, probe
from foundation.errors import ArtifactError
from foundation.files import replacing, sha256_file
from foundation.manifest import Artifact, ImageSpec, Manifest, TensorSpec, save_manifest

RECIPE = "ready"


def adopt(
    path: Path,
    shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    directory: Path,
    *,
    mean: tuple[float, ...] = (0.0,),
    std: tuple[float, ...] = (1.0,),
) -> Artifact:
    """Copy a `.tflite` or `.pte` classifier and write its manifest.

    Args:
        path: the file.
        shape: height, width, channels of the images that it takes.
        class_names: one for each logit.
        directory: where copy and manifest go.
        mean, std: its real-valued input is (pixel / 255 - mean) / std; a number for each channel, or one for all.

    Raises:
        ArtifactError: no such file, refused by its runtime, or one that takes other images or gives other logits.
        UsageError: means for another number of channels.
    """
    told = probe(path)
    height, width, channels = shape
    if told.classes != len(class_names):
        raise ArtifactError(f"{path} gives {told.classes} logits, the data have {len(class_names)} classes")
    means, stds = (by_channel(name, values, channels) for name, values in (("mean", mean), ("std", std)))
    image = _input(told, shape, path)
    place = directory / path.name
    if not (place.exists() and place.samefile(path)):
        with replacing(place) as temporary:
            shutil.copyfile(path, temporary)
    digest = sha256_file(place)
    package = "ai-edge-litert" if told.runtime == "tflite" else "executorch"
    manifest = Manifest(
        name=path.stem,
        file=place.name,
        bytes=place.stat().st_size,
        sha256=digest,
        runtime=told.runtime,
        precision="unknown",
        versions={package: version(package)},
        recipe=RECIPE,
        image=ImageSpec(height=height, width=width, channels=channels, mean=means, std=stds),
        input=image,
        output=told.output,
        class_names=class_names,
        # Nobody knows the network that it was made of: it stands for itself.
        victim_sha256=digest,
    )
    return save_manifest(place, manifest)


def _input(told: Probed, shape: tuple[int, int, int], path: Path) -> TensorSpec:
    height, width, channels = shape
    layouts = {(1, height, width, channels): "nhwc", (1, channels, height, width): "nchw"}
    if told.shape not in layouts:
        raise ArtifactError(
            f"{path} takes {told.shape}, the data's images are {height} x {width} x {channels}",
            hint="one image at a time, height x width x channels or channels first",
        )
    quantised = told.dtype != "float32"
    return TensorSpec.model_validate(
        {
            "shape": told.shape,
            "dtype": told.dtype,
            "layout": layouts[told.shape],
            "scale": told.scale if quantised else None,
            "zero_point": told.zero_point if quantised else None,
        }
    )
