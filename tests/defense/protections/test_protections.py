"""Every protection does what it says, and is found by its name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from defense.protections import AttackerAware, ClippedGradients, GaussianNoise, NoPeek, find_protection
from defense.protections.nopeek import distance_correlation
from foundation.errors import UsageError


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _rows(seed: int, count: int = 40, width: int = 3) -> torch.Tensor:
    return torch.randn(count, width, generator=_generator(seed))


def test_noise_has_the_deviation_that_it_names() -> None:
    z = torch.ones(8, 4, 16, 16)
    change = GaussianNoise(0.5).release(z, _generator()) - z
    assert change.std().item() == pytest.approx(0.5, rel=0.03)
    assert change.mean().item() == pytest.approx(0.0, abs=0.03)


def test_noise_lets_the_gradient_through_and_follows_its_seed() -> None:
    z = torch.ones(2, 1, 2, 2, requires_grad=True)
    protection = GaussianNoise(1.0)
    protection.release(z, _generator()).sum().backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    assert (z.grad == 1).all()
    assert torch.equal(protection.release(z, _generator(1)), protection.release(z, _generator(1)))
    assert protection.randomised


def _parameters(*lengths: float) -> list[nn.Parameter]:
    held = [nn.Parameter(torch.zeros(4)) for _ in lengths]
    for parameter, length in zip(held, lengths, strict=True):
        parameter.grad = torch.tensor([length, 0.0, 0.0, 0.0])
    return held


def _norm(parameters: list[nn.Parameter]) -> float:
    return float(torch.cat([p.grad for p in parameters if p.grad is not None]).norm())


def test_gradients_longer_than_the_norm_are_shortened_together() -> None:
    parameters = _parameters(3.0, 4.0)
    ClippedGradients(1.0).gradients(parameters, _generator())
    assert _norm(parameters) == pytest.approx(1.0)
    first, second = (p.grad for p in parameters)
    assert first is not None
    assert second is not None
    assert (first[0] / second[0]).item() == pytest.approx(0.75)


def test_short_gradients_stay_and_missing_ones_are_passed_by() -> None:
    parameters = [*_parameters(0.3, 0.4), nn.Parameter(torch.zeros(2))]
    ClippedGradients(1.0).gradients(parameters, _generator())
    assert _norm(parameters) == pytest.approx(0.5)
    ClippedGradients(1.0).gradients([], _generator())


def test_noise_on_gradients_is_in_units_of_the_norm() -> None:
    parameter = nn.Parameter(torch.zeros(20_000))
    parameter.grad = torch.zeros(20_000)
    ClippedGradients(2.0, 0.5).gradients([parameter], _generator())
    assert parameter.grad.std().item() == pytest.approx(1.0, rel=0.03)


def test_distance_correlation_of_a_sample_with_itself_is_one() -> None:
    x = _rows(0)
    assert distance_correlation(x, x).item() == pytest.approx(1.0, abs=1e-4)
    assert distance_correlation(x, 3 * x + 5).item() == pytest.approx(1.0, abs=1e-3)


def test_distance_correlation_sees_what_is_not_linear_and_lies_between_zero_and_one() -> None:
    x = _rows(1, 200, 1)
    squared, foreign = distance_correlation(x, x.square()).item(), distance_correlation(x, _rows(2, 200, 1)).item()
    assert 0 <= foreign < 0.25 < squared <= 1


def test_distance_correlation_is_that_of_the_definition() -> None:
    x, z = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [2.0], [2.0]])

    def centred(rows: torch.Tensor) -> torch.Tensor:
        distance = (rows - rows.T).abs()
        return distance - distance.mean(0) - distance.mean(1, keepdim=True) + distance.mean()

    a, b = centred(x), centred(z)
    known = ((a * b).mean() / ((a * a).mean() * (b * b).mean()).sqrt()).sqrt()
    assert distance_correlation(x, z).item() == pytest.approx(known.item(), rel=1e-4)


@pytest.mark.parametrize("x", [torch.zeros(1, 3), torch.zeros(5, 3)])
def test_one_image_and_equal_images_correlate_with_nothing(x: torch.Tensor) -> None:
    z = _rows(3, len(x)).requires_grad_()
    penalty = NoPeek(2.0).penalty(x, z)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert penalty.item() == 0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


def test_nopeeks_penalty_is_weighed_and_its_slope_is_a_number() -> None:
    x = _rows(4)
    z = x.clone().requires_grad_()
    penalty = NoPeek(2.0).penalty(x, z)
    penalty.backward()  # type: ignore[no-untyped-call]
    assert penalty.item() == pytest.approx(2.0, abs=1e-3)
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("text", ["none", "noise:0.5", "clip:1", "clip:1,0.5", "nopeek:0.5", "aware:0.3", "psgl"])
def test_a_protection_is_found_by_its_name(text: str) -> None:
    assert find_protection(text).name == text


def test_joined_protections_do_all_that_their_parts_do() -> None:
    both = find_protection("noise:0.5+clip:1+nopeek:2")
    z = torch.ones(4, 1, 8, 8)
    assert not torch.equal(both.release(z, _generator()), z)
    assert both.penalty(_rows(0), _rows(0)).item() == pytest.approx(2.0, abs=1e-3)
    parameters = _parameters(3.0)
    both.gradients(parameters, _generator())
    assert _norm(parameters) == pytest.approx(1.0)
    assert both.name == "noise:0.5+clip:1+nopeek:2"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nois:1",
        "noise",
        "noise:x",
        "noise:0",
        "noise:nan",
        "clip:1,2,3",
        "clip:-1",
        "nopeek:-1",
        "aware:0",
        "psgl:2",
    ],
)
def test_what_no_protection_is_called_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        find_protection(text)


def test_opponents_that_do_not_practise_are_refused() -> None:
    with pytest.raises(UsageError, match="no opponents"):
        AttackerAware(0.5, practice=0)
