"""ExecuTorch programs by its Python bindings (XNNPACK delegate). The only place of `edge` that needs torch.

Takes the bindings' C extension itself: the public `executorch.runtime` brings the whole exporter with it, of no use on
a device (4.5 s to import, where this takes 2). ExecuTorch is pinned exactly, so the private name does not move.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from importlib.metadata import version

import numpy as np
import torch  # The extension needs torch's libraries loaded before it.
from executorch.extension.pybindings import _C as bindings  # noqa: N811
from numpy.typing import NDArray

from edge.runner.engines import ModelInput
from foundation.errors import ArtifactError, OperatorMissingError, first_line

# Error::OperatorMissing, as the bindings write it.
_OPERATOR_MISSING = "0x:14"


class ExecutorchEngine:
    """A `.pte` program whose `forward` takes one float32 [1, C, H, W] and gives [1, classes]; see `Engine`."""

    def __init__(self, model: bytes, threads: int) -> None:
        bindings._unsafe_reset_threadpool(threads)
        # The program points into this buffer for as long as it lives.
        self._buffer = model
        try:
            self._program = bindings._load_program_from_buffer(
                self._buffer,
                enable_etdump=False,
                debug_buffer_size=0,
                program_verification=bindings.Verification.InternalConsistency,
            )
            self._method = self._program.load_method("forward")
            described = self._method.method_meta()
            inputs, outputs = described.num_inputs(), described.num_outputs()
            if inputs != 1 or outputs != 1:
                raise ArtifactError(f"the program has {inputs} inputs and {outputs} outputs, not one of each")
            shape = tuple(int(n) for n in described.input_tensor_meta(0).sizes())
            self.classes = int(described.output_tensor_meta(0).sizes()[-1])
        except RuntimeError as error:
            if first_line(error).endswith(_OPERATOR_MISSING):
                raise OperatorMissingError(f"no kernel for {self._missing_operators()}") from error
            raise ArtifactError(f"ExecuTorch refuses the program: {first_line(error)}") from error
        self.input = ModelInput(shape, np.dtype(np.float32))
        self.version = f"ExecuTorch {version('executorch')}"

    def run(self, image: NDArray[np.generic]) -> NDArray[np.float32]:
        """See `Engine.run`."""
        output: torch.Tensor = self._method([torch.from_numpy(image)])[0]
        # The runtime reuses its output buffer at the next call.
        return np.array(output.numpy()[0], np.float32)

    def _missing_operators(self) -> str:
        """Names them. Only ExecuTorch's log has them: the method is loaded once more, and stderr listened to."""
        with tempfile.TemporaryFile() as log:
            stderr = os.dup(2)
            os.dup2(log.fileno(), 2)
            try:
                with suppress(RuntimeError):
                    self._program.load_method("forward")
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
            log.seek(0)
            said = log.read().decode(errors="replace")
        return ", ".join(dict.fromkeys(re.findall(r"Missing operator: \[\d+\] (\S+)", said)))
