"""TFLite models by LiteRT's Python interpreter (XNNPACK on, as apps have it)."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from edge.runner.engines import ModelInput
from foundation.errors import ArtifactError


class TfliteEngine:
    """A `.tflite` model with one input of batch 1 and one output [1, classes]; see `Engine`."""

    def __init__(self, model: Path, threads: int) -> None:
        try:
            self._interpreter = Interpreter(str(model), num_threads=threads)
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"TFLite refuses the model: {str(error).strip().splitlines()[0]}") from error
        if len(inputs) != 1 or len(outputs) != 1:
            raise ArtifactError(f"the model has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        self._in, self._out = inputs[0]["index"], outputs[0]["index"]
        scale, zero_point = inputs[0]["quantization"]
        dtype = np.dtype(inputs[0]["dtype"])
        shape = tuple(int(n) for n in inputs[0]["shape"])
        self.input = ModelInput(shape, dtype, float(scale) or 1.0, int(zero_point))
        self.classes = int(outputs[0]["shape"][-1])
        self._scale, self._zero_point = outputs[0]["quantization"]
        self._quantised = np.dtype(outputs[0]["dtype"]) != np.dtype(np.float32)
        self.version = f"LiteRT {version('ai-edge-litert')}"

    def run(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """See `Engine.run`; integer outputs are dequantised."""
        self._interpreter.set_tensor(self._in, image)
        self._interpreter.invoke()
        stored = self._interpreter.get_tensor(self._out)[0]
        if not self._quantised:
            return np.asarray(stored, np.float32)
        real = (stored.astype(np.float32) - np.float32(self._zero_point)) * np.float32(self._scale)
        return np.asarray(real, np.float32)
