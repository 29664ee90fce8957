"""Engines: one per runtime, behind one small protocol. Imported on the device, and by the parity gate in process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.runner.preprocessing import input_table
from foundation.errors import ArtifactError, UsageError

RUNTIMES = ("tflite", "tflite-legacy", "executorch")


@dataclass(frozen=True)
class ModelInput:
    """How the model file takes an image: shape of one input tensor, dtype and quantisation."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    scale: float = 1.0
    zero_point: int = 0


class Engine(Protocol):
    """A loaded model."""

    @property
    def version(self) -> str:
        """The runtime and its version."""

    @property
    def input(self) -> ModelInput:
        """What one inference takes."""

    @property
    def classes(self) -> int:
        """Number of logits."""

    def run(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """One inference: input tensor of `input.shape` and `input.dtype` to logits float32 [classes].

        The array that comes back belongs to the caller.
        """


# A model file's content and the number of threads to a loaded model.
Load = Callable[[bytes, int], Engine]


def find_runtime(runtime: str) -> Load:
    """Import a runtime, which may take seconds, and give what loads a model into it.

    Args:
        runtime: one of `RUNTIMES`; `tflite-legacy` is the older `tflite-runtime`.

    Raises:
        UsageError: no such runtime, or it is not installed on the device.
    """
    if runtime not in RUNTIMES:
        raise UsageError(f"unknown runtime {runtime!r}", hint=f"use {' or '.join(RUNTIMES)}")
    try:
        if runtime == "executorch":
            from edge.runner.engines.executorch import ExecutorchEngine

            return ExecutorchEngine
        from edge.runner.engines import tflite

        return tflite.litert() if runtime == "tflite" else tflite.tflite_runtime()
    except ImportError as error:
        raise UsageError(f"the device's Python has no {runtime} runtime: {error}") from error


def load_engine(runtime: str, model: bytes, threads: int) -> Engine:
    """Load a model.

    Args:
        runtime: see `find_runtime`.
        model: the file's content: what was hashed is what is loaded.
        threads: threads of the runtime.

    Raises:
        ArtifactError: the runtime refuses the file.
        UsageError: no such runtime, or it is not installed on the device.
    """
    return find_runtime(runtime)(model, threads)


class Classifier:
    """An engine that takes images as an app has them."""

    def __init__(
        self,
        engine: Engine,
        image_shape: tuple[int, int, int],
        mean: tuple[float, ...],
        std: tuple[float, ...],
        layout: str,
    ) -> None:
        height, width, channels = image_shape
        expected = (1, height, width, channels) if layout == "nhwc" else (1, channels, height, width)
        if engine.input.shape != expected:
            raise ArtifactError(f"the model takes {engine.input.shape}, its manifest says {expected}")
        self.engine = engine
        self.image_shape = image_shape
        self.prepare = input_table(
            mean, std, engine.input.dtype, layout, scale=engine.input.scale, zero_point=engine.input.zero_point
        )

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """uint8 [N, H, W, C] to logits float32 [N, classes]."""
        return np.stack([self.engine.run(tensor[None]) for tensor in self.prepare(images)])
