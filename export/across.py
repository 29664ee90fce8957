"""The parity gate beyond this process: the same file on a device, and in the older TFLite runtime.

A file that answers right here may be answered for with nonsense by the runtime of an app in the field, without a word:
a newer form of an operator under an old version number. So it is asked there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.deployment import DEFAULT, RunnerOptions, deploy
from edge.devices.opening import OpenDevice, open_device
from edge.runner import legacy
from edge.runner.preprocessing import input_table
from export.layers import LAYER_IMAGES, LayerError, between_runtimes
from export.parity import compare
from export.recipes import Recipe
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress

_LOGITS = AnswerPolicy("logits")


@dataclass(frozen=True)
class RuntimeParity:
    """How one runtime elsewhere answers for a file.

    Attributes:
        engine: what answered, with its version; what was asked to, where it refused.
        device_kind: physical, emulated or embedded.
        refused: why it does not run the file; None where it does. Refusing is no fault: nobody is told nonsense.
        agreement: share of images with the float network's top-1 class.
        rms: root mean square difference of logits, against the float network.
        max_abs: largest difference of a logit, against the float network.
        equal: share of images whose logits are those of the runtime in this process to the bit.
        ok: whether the recipe's bounds hold, or it refused.
        layers: where the older runtime's bounds do not hold: its layers against those of the runtime in this process.
    """

    engine: str
    device_kind: str
    refused: str | None
    agreement: float | None
    rms: float | None
    max_abs: float | None
    equal: float | None
    ok: bool
    layers: tuple[LayerError, ...] = ()


def ask_elsewhere(
    artifact: Artifact,
    eager: NDArray[np.float32],
    here: NDArray[np.float32],
    images: NDArray[np.uint8],
    recipe: Recipe,
    device: OpenDevice | None,
    progress: Progress = SILENT,
) -> Iterator[RuntimeParity]:
    """Hold a file against its network on a device, and in the older TFLite runtime if that is set up here.

    Args:
        artifact: the file.
        eager: float32 [N, classes], the float network's logits.
        here: float32 [N, classes], the file's in its runtime in this process.
        images: uint8 [N, H, W, C].
        recipe: whose bounds hold there too.
        device: to ask; None asks none.
        progress: where to show it.

    Raises:
        DeviceError: the device failed; that it refuses the file is an answer.
    """
    if device is not None:
        yield _asked(device, artifact, eager, here, images, recipe, DEFAULT, progress)
    if artifact.manifest.runtime == "tflite" and not legacy.missing():
        with open_device("embedded") as opened:
            older = RunnerOptions(runtime=legacy.RUNTIME)
            found = _asked(opened, artifact, eager, here, images, recipe, older, progress)
        yield found if found.ok else replace(found, layers=_older_layers(artifact, images, recipe))


def _older_layers(artifact: Artifact, images: NDArray[np.uint8], recipe: Recipe) -> tuple[LayerError, ...]:
    image = artifact.manifest.image
    table = input_table(image.mean, image.std, np.dtype(np.float32), "nhwc")
    given = np.asarray(table(images[:LAYER_IMAGES]), np.float32)
    return tuple(between_runtimes(artifact.path.read_bytes(), given, recipe.max_relative_rms))


def _asked(
    device: OpenDevice,
    artifact: Artifact,
    eager: NDArray[np.float32],
    here: NDArray[np.float32],
    images: NDArray[np.uint8],
    recipe: Recipe,
    options: RunnerOptions,
    progress: Progress,
) -> RuntimeParity:
    kind = device.info.kind
    try:
        with deploy(device, artifact, _LOGITS, options, progress) as model:
            engine, logits = model.hello.engine, model.query(images).scores
    except ArtifactError as error:
        name = options.runtime or artifact.manifest.runtime
        return RuntimeParity(name, kind, error.message, None, None, None, None, ok=True)
    assert logits is not None  # Under `logits` every answer has them.
    found = compare(eager, here, logits, recipe)
    return RuntimeParity(
        engine=engine,
        device_kind=kind,
        refused=None,
        agreement=found.agreement,
        rms=found.rms,
        max_abs=found.max_abs,
        equal=float((logits == here).all(axis=1).mean()),
        ok=found.ok,
    )
