"""ExecuTorch programs by its Python bindings (XNNPACK delegate). The only place of `edge` that needs torch."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from executorch.extension.pybindings import portable_lib
from executorch.runtime import Runtime, Verification
from numpy.typing import NDArray

from edge.runner.engines import ModelInput
from foundation.errors import ArtifactError


class ExecutorchEngine:
    """A `.pte` program whose `forward` takes float32 [1, C, H, W] and gives [1, classes]; see `Engine`."""

    def __init__(self, model: Path, image_shape: tuple[int, int, int], threads: int) -> None:
        portable_lib._unsafe_reset_threadpool(threads)
        height, width, channels = image_shape
        self.input = ModelInput((1, channels, height, width), np.dtype(np.float32))
        try:
            program = Runtime.get().load_program(model.read_bytes(), verification=Verification.InternalConsistency)
            self._program, self._method = program, program.load_method("forward")
            if self._method is None:
                raise ArtifactError("the program has no method forward")
            self.classes = len(self.run(np.zeros(self.input.shape, np.float32)))
        except RuntimeError as error:
            raise ArtifactError(f"ExecuTorch refuses the program: {str(error).strip().splitlines()[0]}") from error
        self.version = f"ExecuTorch {version('executorch')}"

    def run(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """See `Engine.run`."""
        output: torch.Tensor = self._method.execute([torch.from_numpy(image)])[0]
        # The runtime reuses its output buffer at the next call.
        return np.array(output.numpy()[0], np.float32)
