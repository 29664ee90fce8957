"""A runtime without a runner before it: the logits that every runner's answers are held against."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.manifest import Artifact

from .runner_process import RunnerKind

_SOURCE = Path(__file__).parents[3]
_PROGRAM = """
import json, sys
sys.path[:0] = sys.argv[1:3]
import numpy as np
from edge.runner.engines import Classifier, load_engine
asked = json.load(sys.stdin)
engine = load_engine(asked["runtime"], open(asked["model"], "rb").read(), 1)
classifier = Classifier(engine, asked["shape"], asked["mean"], asked["std"], asked["layout"])
np.save(asked["logits"], classifier.logits(np.load(asked["images"])))
"""


def logits_without_runner(kind: RunnerKind, artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits float32 [N, classes] for uint8 images [N, H, W, C].

    By the runtime's Python package, or by a C library through ctypes; in this process, except for a runtime that has
    packages of its own: that one runs in a child that has them.
    """
    if kind.library is not None:
        return tflite_library_logits(kind.library, artifact, images)
    if kind.packages is None:
        from export.parity import runtime_logits

        return runtime_logits(artifact, images)
    with tempfile.TemporaryDirectory() as directory:
        asked, answered = Path(directory, "images.npy"), Path(directory, "logits.npy")
        np.save(asked, images)
        image = artifact.manifest.image
        question = {
            "runtime": kind.runtime,
            "model": str(artifact.path),
            "shape": image.shape,
            "mean": image.mean,
            "std": image.std,
            "layout": artifact.manifest.input.layout,
            "images": str(asked),
            "logits": str(answered),
        }
        command = [sys.executable, "-I", "-c", _PROGRAM, str(kind.packages), str(_SOURCE)]
        subprocess.run(command, input=json.dumps(question), text=True, check=True, timeout=60)
        logits: NDArray[np.float32] = np.load(answered)
        return logits


class _DelegateOptions(ctypes.Structure):
    """The beginning of TfLiteXNNPackDelegateOptions, and room for whatever a version has behind it."""

    _fields_ = (("num_threads", ctypes.c_int32), ("flags", ctypes.c_uint32), ("rest", ctypes.c_uint64 * 31))


def _pointer(function: Any, *arguments: object) -> ctypes.c_void_p:
    """Call a C function that gives a pointer."""
    function.restype = ctypes.c_void_p
    value = function(*arguments)
    assert value, function.__name__
    return ctypes.c_void_p(value)


def tflite_library_logits(library: Path, artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits float32 [N, classes] from a TFLite C library with XNNPACK, its int8 operators included."""
    from edge.runner.preprocessing import input_table

    api = ctypes.CDLL(str(library))
    model, manifest = artifact.path.read_bytes(), artifact.manifest
    loaded = _pointer(api.TfLiteModelCreate, model, ctypes.c_size_t(len(model)))
    options = _pointer(api.TfLiteInterpreterOptionsCreate)
    api.TfLiteXNNPackDelegateOptionsDefault.restype = _DelegateOptions
    xnnpack = api.TfLiteXNNPackDelegateOptionsDefault()
    xnnpack.flags |= 3
    delegate = _pointer(api.TfLiteXNNPackDelegateCreate, ctypes.byref(xnnpack))
    api.TfLiteInterpreterOptionsAddDelegate(options, delegate)
    interpreter = _pointer(api.TfLiteInterpreterCreate, loaded, options)
    assert api.TfLiteInterpreterAllocateTensors(interpreter) == 0
    taken = _pointer(api.TfLiteInterpreterGetInputTensor, interpreter, 0)
    given = _pointer(api.TfLiteInterpreterGetOutputTensor, interpreter, 0)
    spec, result = manifest.input, manifest.output
    prepare = input_table(
        manifest.image.mean,
        manifest.image.std,
        np.dtype(spec.dtype),
        spec.layout,
        scale=spec.scale or 1.0,
        zero_point=spec.zero_point or 0,
    )
    stored = np.empty((len(images), *result.shape[1:]), result.dtype)
    for row, tensor in enumerate(prepare(images)):
        assert api.TfLiteTensorCopyFromBuffer(taken, tensor.tobytes(), ctypes.c_size_t(tensor.nbytes)) == 0
        assert api.TfLiteInterpreterInvoke(interpreter) == 0
        place = stored[row : row + 1]
        into = place.ctypes.data_as(ctypes.c_void_p)
        assert api.TfLiteTensorCopyToBuffer(given, into, ctypes.c_size_t(place.nbytes)) == 0
    if stored.dtype == np.float32:
        return stored
    return (stored.astype(np.float32) - np.float32(result.zero_point or 0)) * np.float32(result.scale or 1.0)
