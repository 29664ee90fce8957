"""Golden vectors of the answer policies: images and logits, and what each policy makes of them, to the bit.

`policy_vectors.json` is made by the Python definition, and both runners are held to it. To make it anew after a policy
was added (never to make a test pass): `python -m tests.foundation.policy_vectors`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foundation.answers import AnswerPolicy
from foundation.portable import image_seeds

PLACE = Path(__file__).with_name("policy_vectors.json")
POLICIES = (
    *("label", "topk:2", "scores", "logits"),
    *("round:1", "round:3", "round:6"),
    *("noise:0.05", "noise:1", "noise:0.000001"),
    *("reverse_sigmoid:1,0.2", "reverse_sigmoid:0.5,3", "reverse_sigmoid:100,100"),
    *("confident:0.25", "confident:0.5", "confident:0.9", "confident:1"),
)


@dataclass(frozen=True)
class Vectors:
    """Inputs and what comes of them.

    Attributes:
        images: uint8 [N, 3, 3, 1]: 9 bytes, one word and a rest; the first is the image's number.
        seeds: uint64 [N], of the images.
        logits: float32 [N, 5].
        answers: of each policy, labels uint16 [N, width] and scores float32 [N, width] or None.
    """

    images: NDArray[np.uint8]
    seeds: NDArray[np.uint64]
    logits: NDArray[np.float32]
    answers: dict[str, tuple[NDArray[np.uint16], NDArray[np.float32] | None]]


def inputs() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Images and logits: sure and unsure, tied, quantised, enormous, all equal."""
    rng = np.random.default_rng(20261122)
    rows = [
        *rng.normal(0, 2, (8, 5)),
        *rng.normal(0, 0.01, (2, 5)),
        *(rng.integers(-40, 40, (4, 5)) * 0.125),
        [0, 0, 0, 0, 0],
        [3e38, -3e38, 0, 1, -1],
        [20, 20, -20, 20, 0],
        [np.log(0.25), np.log(0.5), np.log(0.25), -200, -200],
        [0, 0, -300, -300, -300],
        [-0.0, 9, 0.0, -9, 5],
    ]
    images = rng.integers(0, 256, (len(rows), 3, 3, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(rows))
    return images, np.array(rows, np.float32)


def load() -> Vectors:
    """The vectors of the file."""
    document = json.loads(PLACE.read_text())
    answers = {
        policy: (
            np.array(given["labels"], np.uint16),
            None if given["scores"] is None else np.array(given["scores"], np.float32),
        )
        for policy, given in document["answers"].items()
    }
    images = np.frombuffer(bytes.fromhex("".join(document["images"])), np.uint8).reshape(-1, 3, 3, 1)
    seeds = np.array([int(seed, 16) for seed in document["seeds"]], np.uint64)
    return Vectors(images, seeds, np.array(document["logits"], np.float32), answers)


def _numbers(rows: NDArray[np.float32]) -> list[list[float]]:
    """The shortest decimals that are these float32."""
    return [[float(str(number)) for number in row] for row in rows]


def main() -> None:
    """Write the file."""
    images, logits = inputs()
    answers = {}
    for text in POLICIES:
        labels, scores = AnswerPolicy.parse(text).apply(logits, images)
        answers[text] = {"labels": labels.tolist(), "scores": None if scores is None else _numbers(scores)}
    document = {
        "images": [image.tobytes().hex() for image in images],
        "seeds": [f"{seed:016x}" for seed in image_seeds(images).tolist()],
        "logits": _numbers(logits),
        "answers": answers,
    }
    text = json.dumps(document).replace("], [", "],\n[").replace('}, "', '},\n"').replace('", "', '",\n"')
    PLACE.write_text(text.replace('"scores": [', '"scores":\n[').replace('"labels": [', '\n"labels":\n[') + "\n")


if __name__ == "__main__":
    main()
