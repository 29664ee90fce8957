"""What a black box lets out: answer policies and the answers themselves.

The policy is applied *on the device* (`edge.runner`), so a thief can see no more than it lets out. This module is part
of what travels to the device: standard library and numpy only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import UsageError


@dataclass(frozen=True)
class AnswerPolicy:
    """How much of the victim's output an answer carries.

    `label`: the top-1 class. `topk:K`: the K best classes, best first, with their probabilities. `scores`: the
    probability of every class. Probabilities are the softmax of the (dequantised) logits, float32.
    """

    kind: str
    k: int = 1

    @classmethod
    def parse(cls, text: str) -> AnswerPolicy:
        """Read `label`, `topk:K` or `scores`.

        Raises:
            UsageError: anything else.
        """
        if text in ("label", "scores"):
            return cls(text)
        if (match := re.fullmatch(r"topk:([1-9]\d{0,3})", text)) is not None:
            return cls("topk", int(match[1]))
        raise UsageError(f"unknown answer policy {text!r}", hint="use label, topk:K (K ≥ 1) or scores")

    def __str__(self) -> str:
        return f"topk:{self.k}" if self.kind == "topk" else self.kind

    def width(self, classes: int) -> int:
        """How many classes an answer names: 1, K or all.

        Raises:
            UsageError: K is more than there are classes, or there are more than 65,535.
        """
        if classes > 0xFFFF:
            raise UsageError(f"an answer cannot name one of {classes} classes: its labels are 16 bits wide")
        if self.kind == "topk" and self.k > classes:
            raise UsageError(f"answer policy {self} asks for more than the {classes} classes there are")
        return {"label": 1, "topk": self.k, "scores": classes}[self.kind]

    def apply(self, logits: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32] | None]:
        """Cut logits down to what may leave the device.

        Ties go to the lower class index, in every policy, so that two runners answer alike.

        Args:
            logits: float32 [N, classes].

        Returns:
            labels uint16 [N, width], best first (class order for `scores`), and probabilities float32 [N, width],
            or None under `label`.
        """
        width = self.width(logits.shape[1])
        if self.kind == "label":
            return logits.argmax(axis=1).astype(np.uint16)[:, None], None
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float32)
        scores = shifted / shifted.sum(axis=1, keepdims=True)
        if self.kind == "scores":
            classes = np.arange(width, dtype=np.uint16)
            return np.broadcast_to(classes, scores.shape).copy(), scores
        order = np.argsort(-logits, axis=1, kind="stable")[:, :width]
        return order.astype(np.uint16), np.take_along_axis(scores, order, axis=1)


@dataclass(frozen=True)
class Answers:
    """Answers to a batch of N images, as the thief sees them.

    Attributes:
        policy: the policy that made them.
        classes: how many classes the victim knows.
        labels: uint16 [N, width]; see `AnswerPolicy.apply`.
        scores: float32 [N, width] in [0, 1], or None under `label`.
        device_ns: uint32 [N], nanoseconds of inference per image, measured on the device.
    """

    policy: AnswerPolicy
    classes: int
    labels: NDArray[np.uint16]
    scores: NDArray[np.float32] | None
    device_ns: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.labels)

    def top1(self) -> NDArray[np.int64]:
        """The best class of each image, int64 [N]."""
        best = self.labels[:, 0] if self.policy.kind != "scores" or self.scores is None else self.scores.argmax(axis=1)
        return np.asarray(best, np.int64)

    def targets(self) -> NDArray[np.float32]:
        """The answers as training targets: float32 [N, classes], rows sum to 1.

        Hard labels become one-hot rows. What `topk` does not tell is spread evenly over the classes it did not name.
        """
        count, width = self.labels.shape
        rows = np.arange(count)[:, None]
        if self.scores is None:
            targets = np.zeros((count, self.classes), np.float32)
            targets[rows, self.labels[:, :1]] = 1.0
            return targets
        left = np.clip(1.0 - self.scores.sum(axis=1, keepdims=True), 0.0, 1.0)
        targets = np.repeat(left / max(self.classes - width, 1), self.classes, axis=1).astype(np.float32)
        targets[rows, self.labels] = self.scores
        return np.asarray(targets / targets.sum(axis=1, keepdims=True), np.float32)


def concatenate(parts: list[Answers]) -> Answers:
    """Join answers of one policy, in order.

    Raises:
        ValueError: there is nothing to join.
    """
    if not parts:
        raise ValueError("no answers to join")
    first = parts[0]
    scores = None if first.scores is None else np.concatenate([p.scores for p in parts if p.scores is not None])
    return Answers(
        first.policy,
        first.classes,
        np.concatenate([p.labels for p in parts]),
        scores,
        np.concatenate([p.device_ns for p in parts]),
    )
