"""TFLite models by a Python interpreter: LiteRT's, or the last `tflite-runtime`, as apps in the field still have it."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.runner.engines import Load, ModelInput
from edge.runner.engines.flatbuffer import demand_whole
from foundation.errors import ArtifactError, UsageError


class TfliteEngine:
    """A `.tflite` model with one input of batch 1 and one output [1, classes]; see `Engine`.

    Args:
        interpreter: the runtime's `Interpreter`; both runtimes' are used alike.
        name: of the runtime, with its version.
        model: the file's content.
        threads: threads of the runtime.
    """

    def __init__(self, interpreter: Any, name: str, model: bytes, threads: int) -> None:
        try:
            self._interpreter = interpreter(model_content=model, num_threads=threads)
            self._interpreter.allocate_tensors()
            inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        except (ValueError, RuntimeError) as error:
            raise ArtifactError(f"{name} refuses the model: {str(error).strip().splitlines()[0]}") from error
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
        self.version = name

    def run(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """See `Engine.run`; integer outputs are dequantised."""
        self._interpreter.set_tensor(self._in, image)
        self._interpreter.invoke()
        stored = self._interpreter.get_tensor(self._out)[0]
        if not self._quantised:
            return np.asarray(stored, np.float32)
        real = (stored.astype(np.float32) - np.float32(self._zero_point)) * np.float32(self._scale)
        return np.asarray(real, np.float32)


def litert() -> Load:
    """LiteRT (XNNPACK on, as apps have it)."""
    from ai_edge_litert.interpreter import Interpreter

    return partial(TfliteEngine, Interpreter, f"LiteRT {version('ai-edge-litert')}")


def tflite_runtime() -> Load:
    """`tflite-runtime` 2.14, which is built for numpy 1 and lives in a directory of its own.

    Raises:
        UsageError: this process has numpy 2: the import would succeed, and the first interpreter fail.
    """
    if int(np.__version__.partition(".")[0]) > 1:
        raise UsageError(f"tflite-runtime wants numpy 1, this Python has {np.__version__}", hint="give --packages=DIR")
    from tflite_runtime.interpreter import Interpreter

    name = f"tflite-runtime {version('tflite-runtime')}"

    def load(model: bytes, threads: int) -> TfliteEngine:
        # It looks at nothing itself: a torn file would end the process, or be answered from memory beyond its end.
        demand_whole(model)
        return TfliteEngine(Interpreter, name, model, threads)

    return load
