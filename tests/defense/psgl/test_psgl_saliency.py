"""The client's attack: Eq. 1, its variants, and what happens to slopes that are no numbers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from defense.psgl.saliency import MapSettings, class_slopes, normalised, reversed_map, saliency_map
from foundation.errors import DataError, UsageError

CLASSES = 3
TRUE = MapSettings(label="true")


@pytest.fixture(params=[1, 3])
def channels(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def network(channels: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, CLASSES)
        )


@pytest.fixture
def x(channels: int) -> Tensor:
    return torch.rand(5, channels, 8, 7, generator=torch.Generator().manual_seed(2))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_the_map_stands_where_the_class_falls_and_the_others_rise_and_nowhere_else(seed: int) -> None:
    alpha, beta = torch.randn(2, 2, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    found = reversed_map(alpha, beta)
    there = (alpha < 0) & (beta > 0)
    assert torch.equal(found > 0, there)
    assert torch.equal(found[there], (-alpha * beta)[there])


def test_the_other_classes_slopes_are_the_classs_own_with_the_other_sign(network: nn.Module, x: Tensor) -> None:
    y = torch.tensor([0, 1, 2, 0, 1])
    alpha, _ = class_slopes(network, x, y)
    # Literally: one backward pass for each other class, added up.
    leaf = x.clone().requires_grad_()
    probabilities = network(leaf).softmax(1)
    beta = torch.zeros_like(x)
    for other in range(CLASSES):
        counted = (probabilities[:, other] * (y != other)).sum()
        beta += torch.autograd.grad(counted, leaf, retain_graph=True)[0]
    assert torch.allclose(beta, -alpha, atol=1e-7)
    literal = reversed_map(alpha, beta)
    assert torch.allclose(saliency_map(network, x, y, TRUE)[0], literal, atol=1e-9)
    assert literal.any()


def test_an_images_map_depends_on_no_other_image(network: nn.Module, x: Tensor) -> None:
    y = torch.tensor([0, 1, 2, 0, 1])
    together = saliency_map(network, x, y, TRUE)[0]
    for k in range(len(x)):
        alone = saliency_map(network, x[k : k + 1], y[k : k + 1], TRUE)[0]
        assert torch.allclose(alone[0], together[k], atol=1e-9)


def test_adding_a_map_makes_the_class_less_likely(network: nn.Module, x: Tensor) -> None:
    y = network(x).argmax(1)
    found = saliency_map(network, x, y, MapSettings(kind="normalised", epsilon=0.05))[0]
    before, after = (network(image).softmax(1).gather(1, y[:, None]) for image in (x, x + found))
    assert bool((after < before).all())


def test_without_labels_the_map_is_of_the_predicted_class(network: nn.Module, x: Tensor) -> None:
    predicted = network(x).argmax(1)
    other = (predicted + 1) % CLASSES
    of_prediction = saliency_map(network, x, predicted, TRUE)[0]
    assert torch.equal(saliency_map(network, x, None, TRUE)[0], of_prediction)
    assert torch.equal(saliency_map(network, x, other, MapSettings())[0], of_prediction)
    assert not torch.equal(saliency_map(network, x, other, TRUE)[0], of_prediction)


def test_a_normalised_maps_largest_entry_is_epsilon_in_every_image(network: nn.Module, x: Tensor) -> None:
    found = saliency_map(network, x, None, MapSettings(kind="normalised", epsilon=0.2))[0]
    assert torch.allclose(found.amax((1, 2, 3)), torch.full((len(x),), 0.2))
    assert bool((found >= 0).all())


def test_an_empty_map_stays_empty() -> None:
    assert torch.equal(normalised(torch.zeros(2, 1, 3, 3), 0.5), torch.zeros(2, 1, 3, 3))


def test_the_iterated_attack_raises_few_pixels_by_epsilon_at_most(network: nn.Module, x: Tensor) -> None:
    kind = MapSettings(kind="iterated", epsilon=0.3, pixels=0.2, steps=3)
    found = saliency_map(network, x, network(x).argmax(1), kind)[0]
    assert bool((found >= 0).all())
    assert float(found.max()) <= 0.3 + 1e-6
    assert float((x + found).max()) <= 1 + 1e-6
    changed = (found > 0).flatten(1).sum(1)
    assert 0 < int(changed.max()) <= round(0.2 * x[0].numel()) + kind.steps


def test_the_iterated_attack_stops_at_images_that_are_fooled_already(network: nn.Module, x: Tensor) -> None:
    wrong = (network(x).argmax(1) + 1) % CLASSES
    few, many = (
        saliency_map(network, x, wrong, MapSettings("iterated", pixels=0.1 * steps, steps=steps, label="true"))[0]
        for steps in (1, 4)
    )
    assert torch.equal(few > 0, many > 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_slopes_that_are_no_numbers_are_told(bad: float) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * bad).flatten(1)[:, :CLASSES]

    with pytest.raises(DataError, match="no numbers"):
        saliency_map(Broken(), torch.rand(2, 1, 4, 4), None, MapSettings())


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"epsilon": 1.5}, {"pixels": 0.0}, {"steps": 0}])
def test_settings_that_make_no_map_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        MapSettings(**wrong)  # type: ignore[arg-type]
