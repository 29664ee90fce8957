"""A runtime without a runner before it: the logits that every runner's answers are held against."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

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

    In this process, except for a runtime that has packages of its own: that one runs in a child that has them.
    """
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
