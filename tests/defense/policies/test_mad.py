"""MAD: the best vertex is found, the budget is kept, and gradients turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attack.oracle import Oracle
from defense.policies.mad import MadOracle, gram_of, poison
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import UsageError
from victim.models import build
from victim.step import as_input

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 1), np.uint8)
RNG = np.random.default_rng(1)
SCORES = RNG.dirichlet(np.ones(4), 12)


@dataclass
class KnownScores:
    """Answers every image with a row of `SCORES`."""

    policy: AnswerPolicy
    identity: str = "ab" * 32
    classes: int = 4
    image_shape: tuple[int, int, int] = (16, 16, 1)

    def query(self, images: NDArray[np.uint8]) -> Answers:
        logits = np.log(SCORES[: len(images)]).astype(np.float32)
        labels, scores = self.policy.apply(logits)
        return Answers(self.policy, self.classes, labels, scores, np.full(len(images), 7, np.uint32))


def surrogate(seed: int = 0) -> torch.nn.Module:
    return build("plain", 1, 4, torch.Generator().manual_seed(seed))


def deviation(gram: NDArray[np.float64], moved: NDArray[np.float64], own: NDArray[np.float64]) -> float:
    """Squared distance of the two gradients' directions."""
    cosine = moved @ gram @ own / np.sqrt((moved @ gram @ moved) * (own @ gram @ own))
    return float(2 - 2 * cosine)


def random_grams(count: int, classes: int) -> NDArray[np.float64]:
    jacobians = np.random.default_rng(3).normal(size=(count, classes, 9))
    return np.asarray(jacobians @ jacobians.transpose(0, 2, 1), np.float64)


def test_products_of_gradients_are_those_of_backpropagation() -> None:
    network = surrogate().eval()
    found = gram_of(network)(IMAGES[:3])
    for row in range(3):
        gradients = []
        for label in range(4):
            network.zero_grad()
            network(as_input(IMAGES[row : row + 1])).log_softmax(1)[0, label].backward()
            gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
        jacobian = torch.stack(gradients).double()
        np.testing.assert_allclose(found[row], (jacobian @ jacobian.T).numpy(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("keep_top1", [False, True])
@pytest.mark.parametrize("budget", [0.1, 0.8, 2.0])
def test_answers_stay_probabilities_within_the_budget(budget: float, keep_top1: bool) -> None:
    moved = poison(SCORES, random_grams(12, 4), budget, keep_top1=keep_top1)
    np.testing.assert_allclose(moved.sum(axis=1), 1)
    assert np.all(moved >= 0)
    assert np.abs(moved - SCORES).sum(axis=1).max() <= budget + 1e-9
    if keep_top1:
        np.testing.assert_array_equal(moved.astype(np.float32).argmax(axis=1), SCORES.argmax(axis=1))


def test_the_vertex_is_the_one_that_turns_the_gradient_most() -> None:
    grams = random_grams(12, 4)
    moved = poison(SCORES, grams, 2.0)
    for gram, own, found in zip(grams, SCORES, moved, strict=True):
        turned = [deviation(gram, vertex, own) for vertex in np.eye(4)]
        np.testing.assert_allclose(found, np.eye(4)[int(np.argmax(turned))], atol=1e-12)


def test_the_variant_tries_every_even_answer_that_keeps_the_best_class() -> None:
    grams = random_grams(12, 4)
    moved = poison(SCORES, grams, 2.0, keep_top1=True)
    for gram, own, found in zip(grams, SCORES, moved, strict=True):
        best = own.argmax()
        sets = [np.array([number >> k & 1 for k in range(4)], float) for number in range(16)]
        turned = [deviation(gram, even / even.sum(), own) for even in sets if even[best]]
        assert deviation(gram, found, own) == pytest.approx(max(turned), abs=1e-4)


def test_an_oracle_is_poisoned_and_says_so() -> None:
    victim = KnownScores(AnswerPolicy("scores"))
    oracle: Oracle = MadOracle(victim, surrogate(), 0.5)
    own, told = victim.query(IMAGES), oracle.query(IMAGES)
    assert told.scores is not None
    assert own.scores is not None
    change = np.abs(told.scores - own.scores).sum(axis=1)
    np.testing.assert_allclose(change, 0.5, atol=1e-5)
    assert oracle.identity == f"{victim.identity} mad:0.5"
    assert (oracle.policy, oracle.classes, oracle.image_shape) == (victim.policy, 4, (16, 16, 1))
    assert told.device_ns.tolist() == [7] * 12
    np.testing.assert_array_equal(oracle.query(IMAGES).scores, told.scores)


def test_images_are_poisoned_alike_alone_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    together = gram_of(surrogate().eval())(IMAGES)
    monkeypatch.setattr("defense.policies.mad._AT_ONCE", 1)
    np.testing.assert_allclose(gram_of(surrogate().eval())(IMAGES), together, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"budget": 0.0}, "budget"), ({"budget": 2.5}, "budget"), ({"budget": float("nan")}, "budget")],
)
def test_a_budget_out_of_range_is_a_usage_error(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        MadOracle(KnownScores(AnswerPolicy("scores")), surrogate(), **changes)


def test_what_cannot_be_poisoned_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="label"):
        MadOracle(KnownScores(AnswerPolicy("label")), surrogate(), 0.5)
    with pytest.raises(UsageError, match="too many"):
        MadOracle(KnownScores(AnswerPolicy("scores"), classes=13), surrogate(), 0.5, keep_top1=True)
