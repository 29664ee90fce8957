"""Prediction poisoning, MAD (Orekondy et al. 2020, "Prediction Poisoning", arXiv 1906.10908), for comparison.

It lives on the *host's* side of an oracle, not on the device: it wants a network with gradients and takes many times an
inference for each answer. So it stands for a server that answers, and what leaves the device stays undefended.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from attack.oracle import Oracle, StandsBefore
from foundation.answers import Answers
from foundation.errors import UsageError
from victim.step import as_input

# Of an image's Jacobians together, in numbers; 64 MB.
_AT_ONCE = 16_000_000
# Beyond so many classes the vertices that keep the best one are too many to try: 2^(classes - 1).
MOST_CLASSES_KEPT = 12


class MadOracle(StandsBefore):
    """Another oracle's scores, poisoned: satisfies `attack.oracle.Oracle`.

    Maximizing Angular Deviation: of all answers within a budget, the one whose gradient would turn a thief's training
    step the furthest from the true answer's. The thief's network is not known; a surrogate stands for it. Here it stays
    as it is given, where the authors' code trains it on with every answer.

    Args:
        oracle: answers under `scores`.
        surrogate: takes float32 [N, C, H, W] in [0, 1], gives logits [N, classes]; is put into evaluation mode.
        budget: most that an answer may be moved, in L1, in (0, 2].
        keep_top1: the variant MAD-argmax, which leaves the best class the best.

    Raises:
        UsageError: a budget out of range, an oracle under another policy, too many classes for `keep_top1`.
    """

    def __init__(self, oracle: Oracle, surrogate: nn.Module, budget: float, *, keep_top1: bool = False) -> None:
        if not 0 < budget <= 2:
            raise UsageError(
                f"a budget of {budget} is not in (0, 2]", hint="two probabilities differ by 2 at most, in L1"
            )
        if oracle.policy.kind != "scores":
            raise UsageError(
                f"MAD poisons scores, the oracle answers under {oracle.policy}", hint="deploy it with scores"
            )
        if keep_top1 and oracle.classes > MOST_CLASSES_KEPT:
            raise UsageError(f"MAD-argmax tries 2^(classes - 1) answers: {oracle.classes} classes are too many")
        super().__init__(oracle)
        self.budget, self.keep_top1 = budget, keep_top1
        self.surrogate = surrogate.eval()
        self._gram = gram_of(self.surrogate)

    @property
    def identity(self) -> str:
        """The victim's with the defence behind it: its answers are not interchangeable with others."""
        return f"{self.oracle.identity} mad{'-argmax' if self.keep_top1 else ''}:{self.budget:g}"

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`; `device_ns` is the device's, without the poisoning."""
        answers = self.oracle.query(images)
        grams = self._gram(images)
        poisoned = poison(answers.targets().astype(np.float64), grams, self.budget, keep_top1=self.keep_top1)
        return Answers(answers.policy, answers.classes, answers.labels, poisoned.astype(np.float32), answers.device_ns)


def gram_of(network: nn.Module) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """What gives G Gᵀ, float64 [N, classes, classes], for uint8 images [N, H, W, C].

    G is the Jacobian of the network's log-probabilities by its parameters. All that the objective asks of it are the
    products of its rows, so these are summed up parameter by parameter.
    """
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    buffers = {name: value.detach() for name, value in network.named_buffers()}
    size = sum(value.numel() for value in parameters.values())

    def said(weights: Mapping[str, Tensor], image: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, (dict(weights), buffers), (image[None],))
        return logits.log_softmax(1)[0]

    jacobian = vmap(jacrev(said), in_dims=(None, 0))

    def gram(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.no_grad():
            classes = network(as_input(images[:1])).shape[1]
            step = max(1, _AT_ONCE // (size * classes))
            parts = [
                _products(jacobian(parameters, as_input(images[k : k + step]))) for k in range(0, len(images), step)
            ]
        return np.concatenate(parts)

    return gram


def _products(jacobians: Mapping[str, Tensor]) -> NDArray[np.float64]:
    rows = [found.flatten(2) for found in jacobians.values()]
    return np.asarray(torch.stack([part @ part.transpose(1, 2) for part in rows]).sum(0).numpy(), np.float64)


def poison(
    scores: NDArray[np.float64], grams: NDArray[np.float64], budget: float, *, keep_top1: bool = False
) -> NDArray[np.float64]:
    """The heuristic of the paper and its authors' code: of the extreme answers the one that turns the gradient the
    furthest, and from the true answer as far towards it as the budget goes.

    Args:
        scores: float64 [N, classes], rows sum to 1: what the victim would say.
        grams: float64 [N, classes, classes]; see `gram_of`.
        budget: in L1.
        keep_top1: extreme are the one-hot answers; or, of those with the victim's best class, the even ones.

    Returns:
        float64 [N, classes], rows sum to 1. An answer that cannot be moved stays.
    """
    classes = scores.shape[1]
    extremes = _even_answers(classes) if keep_top1 else np.eye(classes)
    along = np.einsum("ek,nkl,nl->ne", extremes, grams, scores)
    lengths = np.einsum("ek,nkl,el->ne", extremes, grams, extremes)
    own = np.einsum("nk,nkl,nl->n", scores, grams, scores)[:, None]
    # The squared distance of two vectors of length 1 is 2 - 2 cos.
    deviation = 2 - 2 * along / np.maximum(np.sqrt(np.maximum(lengths * own, 0)), 1e-300)
    if keep_top1:
        deviation[extremes[:, scores.argmax(axis=1)].T == 0] = -np.inf
    target = extremes[deviation.argmax(axis=1)]
    if keep_top1:
        target = _with_best(target, scores.argmax(axis=1))
    distance = np.abs(target - scores).sum(axis=1, keepdims=True)
    share = np.minimum(1.0, budget / np.maximum(distance, 1e-12))
    return np.asarray(scores + share * (target - scores), np.float64)


def _even_answers(classes: int) -> NDArray[np.float64]:
    """Every answer that gives some classes equal shares and the others nothing, float64 [2^classes - 1, classes]."""
    sets = np.array(list(itertools.product((0.0, 1.0), repeat=classes)))[1:]
    return np.asarray(sets / sets.sum(axis=1, keepdims=True), np.float64)


def _with_best(answers: NDArray[np.float64], best: NDArray[np.int64]) -> NDArray[np.float64]:
    """The best class gets a little from the others, so that it stays the best where they are equal."""
    kept = answers * (1 - 1e-6)
    kept[np.arange(len(kept)), best] += 1e-6
    return kept
