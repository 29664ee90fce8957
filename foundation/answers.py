"""What a black box lets out: answer policies and the answers themselves.

The policy is applied *on the device* (`edge.runner`), so a thief can see no more than it lets out. This module is part
of what travels to the device: standard library and numpy only. docs/policies.md says what each policy is worth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import UsageError
from foundation.perturbations import confident, noisy, reverse_sigmoid, rounded
from foundation.portable import softmax

# Of every kind: the least and the most of each parameter.
_KINDS: dict[str, tuple[tuple[float, float], ...]] = {
    "label": (),
    "topk": ((1, 9999),),
    "scores": (),
    "round": ((1, 6),),
    "noise": ((1e-6, 1),),
    "reverse_sigmoid": ((1e-6, 100), (1e-6, 100)),
    "confident": ((1e-6, 1),),
    "logits": (),
}
_WHOLE = ("topk", "round")
_HINT = (
    "use label, topk:K (K ≥ 1), scores, round:D (1 to 6 decimals), noise:S (0 < S ≤ 1), reverse_sigmoid:B,G "
    "(0 < B, G ≤ 100), confident:T (0 < T ≤ 1) or logits; numbers in decimal, at most 6 places"
)


@dataclass(frozen=True)
class AnswerPolicy:
    """How much of the victim's output an answer carries, and how it is disturbed first.

    `label`: the top-1 class. `topk:K`: the K best classes, best first, with their probabilities. `scores`: the
    probability of every class: the softmax of the (dequantised) logits, in float64, rounded once to float32. The
    defended ones tell a value for every class too:

    `round:D`: probabilities rounded to D decimals. `noise:S`: with Gaussian noise of standard deviation S that hangs
    on the image alone. `reverse_sigmoid:B,G`: Lee et al. 2018. `confident:T`: those below T are 0; all 0 is a refusal.
    See `foundation.perturbations`.

    `logits`: the model's output as it is, for one half of a split network.

    Attributes:
        kind: the word before the colon.
        parameters: the numbers behind it; `parse` sees to it that they are in range.
    """

    kind: str
    parameters: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> AnswerPolicy:
        """Read a policy as a user writes it.

        Raises:
            UsageError: an unknown one, or a number that cannot be read or is out of range.
        """
        kind, _, rest = text.partition(":")
        numbers = tuple(map(_read, rest.split(","))) if ":" in text else ()
        ranges = _KINDS.get(kind, ())
        in_range = [least <= number <= most for (least, most), number in zip(ranges, numbers, strict=False)]
        whole = kind not in _WHOLE or all(number.is_integer() for number in numbers)
        if kind not in _KINDS or len(numbers) != len(ranges) or not all(in_range) or not whole:
            raise UsageError(f"unknown answer policy {text!r}", hint=_HINT)
        return cls(kind, numbers)

    def __str__(self) -> str:
        """The one way to write it: no needless zeros."""
        numbers = [f"{number:.6f}".rstrip("0").rstrip(".") for number in self.parameters]
        return f"{self.kind}:{','.join(numbers)}" if numbers else self.kind

    @property
    def tells_labels(self) -> bool:
        """Whether answers name classes; if not, they have a value for each, in order."""
        return self.kind in ("label", "topk")

    @property
    def tells_scores(self) -> bool:
        """Whether answers carry numbers beside or in place of classes."""
        return self.kind != "label"

    @property
    def keeps_top1(self) -> bool:
        """Whether the best class of an answer is the victim's own by construction, wherever it does not refuse.

        Classes whose probabilities are one float32 count as equal; the lower goes first.
        """
        return self.kind in ("label", "topk", "scores", "confident", "logits")

    def width(self, classes: int) -> int:
        """How many classes an answer names or has a value for: 1, K or all.

        Raises:
            UsageError: K is more than there are classes, or there are more than 65,535.
        """
        if classes > 0xFFFF:
            raise UsageError(f"an answer cannot name one of {classes} classes: its labels are 16 bits wide")
        if self.kind != "topk":
            return 1 if self.kind == "label" else classes
        width = int(self.parameters[0])
        if width > classes:
            raise UsageError(f"answer policy {self} asks for more than the {classes} classes there are")
        return width

    def apply(
        self, logits: NDArray[np.float32], images: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint16], NDArray[np.float32] | None]:
        """Cut logits down to what may leave the device.

        Ties go to the lower class index, in every policy, so that two runners answer alike.

        Args:
            logits: float32 [N, classes], finite.
            images: uint8 [N, H, W, C] that gave them; only `noise` looks at them.

        Returns:
            labels uint16 [N, width], best first (class order where every class has a value), and scores float32
            [N, width] in [0, 1] (any finite numbers under `logits`), or None under `label`.

        Raises:
            ValueError: `noise` without images.
        """
        width = self.width(logits.shape[1])
        if self.kind == "label":
            return logits.argmax(axis=1).astype(np.uint16)[:, None], None
        if self.kind == "topk":
            order = np.argsort(-logits, axis=1, kind="stable")[:, :width]
            return order.astype(np.uint16), np.take_along_axis(softmax(logits), order, axis=1).astype(np.float32)
        classes = np.broadcast_to(np.arange(width, dtype=np.uint16), logits.shape).copy()
        if self.kind == "logits":
            return classes, logits.astype(np.float32)
        return classes, self._disturbed(softmax(logits), images).astype(np.float32)

    def _disturbed(self, scores: NDArray[np.float64], images: NDArray[np.uint8] | None) -> NDArray[np.float64]:
        if self.kind == "round":
            return rounded(scores, int(self.parameters[0]))
        if self.kind == "reverse_sigmoid":
            return reverse_sigmoid(scores, *self.parameters)
        if self.kind == "confident":
            return confident(scores, *self.parameters)
        if self.kind == "noise":
            if images is None:
                raise ValueError("noise hangs on the images: give them")
            return noisy(scores, images, *self.parameters)
        return scores


def _read(text: str) -> float:
    """A decimal number, to the millionth as the native runner reads it; NaN where it is none."""
    match = re.fullmatch(r"(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,6}))?", text)
    return float("nan") if match is None else int(match[1] + (match[2] or "").ljust(6, "0")) / 1e6


@dataclass(frozen=True)
class Answers:
    """Answers to a batch of N images, as the thief sees them.

    Attributes:
        policy: the policy that made them.
        classes: how many classes the victim knows.
        labels: uint16 [N, width]; see `AnswerPolicy.apply`.
        scores: float32 [N, width] in [0, 1] (logits under `logits`), or None under `label`.
        device_ns: uint32 [N], nanoseconds of inference per image, measured on the device.
    """

    policy: AnswerPolicy
    classes: int
    labels: NDArray[np.uint16]
    scores: NDArray[np.float32] | None
    device_ns: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def refused(self) -> NDArray[np.bool_]:
        """Which images the device would say nothing about, bool [N]: every probability is 0.

        That is what `confident` is for; rounding and noise leave nothing now and then. A refusal is paid for, and
        teaches nothing.
        """
        if self.scores is None or self.policy.kind == "logits":
            return np.zeros(len(self), np.bool_)
        return np.asarray(~self.scores.any(axis=1))

    def top1(self) -> NDArray[np.int64]:
        """The best class of each image, int64 [N]; 0 where `refused`."""
        best = self.labels[:, 0] if self.policy.tells_labels or self.scores is None else self.scores.argmax(axis=1)
        return np.asarray(best, np.int64)

    def targets(self) -> NDArray[np.float32]:
        """The answers as training targets: float32 [N, classes], rows sum to 1.

        Hard labels become one-hot rows. What `topk` and `confident` do not tell is spread evenly over the classes they
        left out: a thief knows the policy. Logits become their softmax; a refusal, evenly all classes.
        """
        rows = np.arange(len(self))[:, None]
        if self.scores is None:
            targets = np.zeros((len(self), self.classes), np.float32)
            targets[rows, self.labels[:, :1]] = 1.0
            return targets
        if self.policy.kind == "logits":
            return softmax(self.scores).astype(np.float32)
        told = np.zeros((len(self), self.classes), np.float32)
        told[rows, self.labels] = self.scores
        unnamed = np.ones(told.shape, np.bool_)
        unnamed[rows, self.labels] = False
        if self.policy.kind == "confident":
            unnamed = told == 0
        return _filled(told, unnamed)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Answers:
        """These of the answers: a mask bool [N], or numbers."""
        scores = None if self.scores is None else self.scores[rows]
        return Answers(self.policy, self.classes, self.labels[rows], scores, self.device_ns[rows])

    def hardened(self) -> Answers:
        """The same answers to somebody who takes their best class alone, as under `label`."""
        labels = self.top1().astype(np.uint16)[:, None]
        return Answers(AnswerPolicy("label"), self.classes, labels, None, self.device_ns)


def _filled(told: NDArray[np.float32], unnamed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """What is missing to 1 spread over the unnamed classes, then rows that sum to 1; rows of 0 evenly over all."""
    left = np.clip(1.0 - told.sum(axis=1, keepdims=True), 0.0, 1.0)
    shares = left / np.maximum(unnamed.sum(axis=1, keepdims=True), 1)
    targets = np.where(unnamed, shares, told)
    targets[~targets.any(axis=1)] = 1.0
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
