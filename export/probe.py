"""What a runtime says of a model file, asked in a process of its own: a spoilt file may end the one that loads it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edge.runner.engines import Engine, load_engine
from edge.runner.engines.flatbuffer import demand_whole
from foundation.errors import ArtifactError, EdgecatError
from foundation.manifest import Runtime, TensorSpec, check_format

_PATIENCE = 120.0


class Probed(BaseModel):
    """A file that its runtime takes.

    Attributes:
        runtime: whose file it is.
        engine: the runtime and its version.
        shape: of its one input tensor.
        dtype: of it.
        scale, zero_point: of it; 1 and 0 where it is not quantised.
        output: its logits.
        classes: how many.
    """

    model_config = ConfigDict(frozen=True)

    runtime: Runtime
    engine: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    output: TensorSpec
    classes: int


def probe(path: Path) -> Probed:
    """Ask the runtime of a `.tflite` or `.pte` file, wherever it comes from.

    Raises:
        ArtifactError: no such file, neither format, refused, or the runtime died on it.
    """
    if not path.is_file():
        raise ArtifactError(f"no model file {path}")
    runtime = check_format(path, None)
    command = [sys.executable, "-m", "export.probe", runtime, str(path)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{path}: its runtime was still at it after {_PATIENCE:.0f} s") from None
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or not lines:
        raise ArtifactError(f"{path}: its runtime died on it (exit code {ended.returncode})")
    told: dict[str, Any] = json.loads(lines[-1])
    if "refused" in told:
        raise ArtifactError(f"{path}: {told['refused']}")
    return Probed.model_validate(told)


def _described(runtime: str, path: Path) -> dict[str, Any]:
    model = path.read_bytes()
    try:
        if runtime == "tflite":
            demand_whole(model)
        engine: Engine = load_engine(runtime, model, 1)
    except EdgecatError as error:
        return {"refused": error.message}
    given = engine.input
    output = TensorSpec(shape=(1, engine.classes), dtype="float32", layout="nc")
    if runtime == "tflite":
        from export.tensors import tensor_specs

        output = tensor_specs(path)[1]
    return {
        "runtime": runtime,
        "engine": engine.version,
        "shape": given.shape,
        "dtype": given.dtype.name,
        "scale": given.scale,
        "zero_point": given.zero_point,
        "output": output.model_dump(),
        "classes": engine.classes,
    }


if __name__ == "__main__":
    print(json.dumps(_described(sys.argv[1], Path(sys.argv[2]))))
