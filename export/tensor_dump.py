"""What each operator of a `.tflite` file gives, by either TFLite runtime.

A program of its own, which needs numpy and the runtime alone: `tflite-runtime` cannot share a process with exporters.

    python -I tensor_dump.py MODEL IMAGES.npy OUT.npz [PACKAGES]

MODEL has one input; IMAGES are float32 [N, H, W, C], as the float network takes them; PACKAGES is the directory of
`tflite-runtime`, without it LiteRT answers. OUT has `operators`, JSON: for each operator its name, the name of its
output, and the numbers of its input and output tensors; and under `0`, `1`, … what each gave, float32 [N, ...]: real
values of quantised tensors. Kernels are the runtime's own, not XNNPACK's, which keeps nothing between operators.
"""

from __future__ import annotations

import json
import sys
from typing import Any

if __name__ == "__main__" and len(sys.argv) > 4:
    # Before numpy: tflite-runtime brings one of its own.
    sys.path.insert(0, sys.argv[4])

import numpy as np


def dump(model: str, images: Any, interpreter: Any, resolver: Any) -> dict[str, Any]:
    """The arrays of OUT; see above."""
    runtime = interpreter(
        model,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    runtime.allocate_tensors()
    known = {detail["index"]: detail for detail in runtime.get_tensor_details()}
    # Private, and the same in both runtimes; nothing public tells operators.
    operators = runtime._get_ops_details()
    gave: list[list[Any]] = [[] for _ in operators]
    (given,) = runtime.get_input_details()
    for image in images:
        runtime.set_tensor(given["index"], _stored(image[None], given))
        runtime.invoke()
        for place, operator in enumerate(operators):
            output = int(operator["outputs"][0])
            gave[place].append(_real(runtime.get_tensor(output), known[output]))
    told = [
        {
            "operator": operator["op_name"],
            "tensor": known[int(operator["outputs"][0])]["name"],
            "inputs": [int(number) for number in operator["inputs"]],
            "outputs": [int(number) for number in operator["outputs"]],
        }
        for operator in operators
    ]
    arrays = {str(place): np.stack(values) for place, values in enumerate(gave)}
    return {"operators": np.array(json.dumps(told)), **arrays}


def _stored(values: Any, detail: dict[str, Any]) -> Any:
    """Real values as the tensor holds them."""
    scale, zero_point = detail["quantization"]
    if not scale:
        return values.astype(detail["dtype"])
    limits = np.iinfo(detail["dtype"])
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(detail["dtype"])


def _real(stored: Any, detail: dict[str, Any]) -> Any:
    """What a tensor holds, as real values."""
    scale, zero_point = detail["quantization"]
    values = stored.astype(np.float32)
    return (values - zero_point) * np.float32(scale) if scale else values


def main(words: list[str]) -> None:
    """The program."""
    model, images, out, *packages = words
    if packages:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    else:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    np.savez(out, **dump(model, np.load(images), Interpreter, OpResolverType))


if __name__ == "__main__":
    main(sys.argv[1:])
