"""Images from shared gradients."""

from __future__ import annotations

import pytest
import torch
from blobs_and_halves import blobs, plain, smooth

from defense.inversion.exchange import Exchange
from defense.inversion.gradients import (
    GradientSettings,
    cosine_distance,
    gradient_attack,
    inferred_label,
    total_variation,
)
from defense.protections import ClippedGradients
from foundation.errors import DataError, UsageError
from victim.step import as_input


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _image(side: int = 8) -> torch.Tensor:
    return torch.rand(1, 1, side, side, generator=_generator(5))


LABEL = torch.tensor([2])


@pytest.mark.parametrize("method", ["dlg", "idlg"])
def test_a_smooth_network_gives_its_image_away(method: str) -> None:
    settings = GradientSettings(steps=100, everything=True)
    found = gradient_attack(smooth(), _image(), LABEL, method, settings, _generator())
    assert found.mean_psnr > 30


def test_inverting_gradients_draws_more_than_chance() -> None:
    settings = GradientSettings(steps=100, variation=1e-4, everything=True)
    found = gradient_attack(smooth(), _image(), LABEL, "geiping", settings, _generator())
    guess = torch.rand(1, 1, 8, 8, generator=_generator(9))
    assert found.mean_mse < 0.5 * float((guess - _image()).square().mean())


def test_noise_on_gradients_stops_dlg() -> None:
    settings = GradientSettings(steps=40, everything=True)
    bare = gradient_attack(smooth(), _image(), LABEL, "idlg", settings, _generator())
    hidden = gradient_attack(smooth(ClippedGradients(1.0, 1.0)), _image(), LABEL, "idlg", settings, _generator())
    assert hidden.mean_mse > 2 * bare.mean_mse


def test_a_guess_that_is_right_has_the_gradients_that_were_shared() -> None:
    x, y = as_input(blobs(2, 0).images), torch.tensor([0, 1])
    exchange = Exchange(plain(), _generator(), everything=True)
    seen = exchange.shared(x, y)
    assert cosine_distance(exchange.guessed(x.clone().requires_grad_(), y, _generator()), seen).item() < 1e-5
    other = 1 - x
    assert cosine_distance(exchange.guessed(other.requires_grad_(), y, _generator()), seen).item() > 1e-2


def test_sharing_leaves_the_model_as_it_was() -> None:
    model = plain().eval()
    before = {name: value.clone() for name, value in model.client.state_dict().items()}
    x, y = as_input(blobs(2, 0).images), torch.tensor([0, 1])
    Exchange(model, _generator()).shared(x, y)
    assert all(torch.equal(before[name], value) for name, value in model.client.state_dict().items())
    assert not model.client.training


def test_the_last_layers_bias_tells_the_label() -> None:
    model = smooth()
    for label in range(4):
        seen = Exchange(model, _generator(), everything=True).shared(_image(), torch.tensor([label]))
        assert inferred_label(seen[-1]) == label


def test_a_batch_is_matched_to_its_images_whatever_the_order() -> None:
    x = as_input(blobs(2, 0).images)
    found = gradient_attack(
        plain(), x, torch.tensor([0, 0]), "geiping", GradientSettings(batch=2, steps=2), _generator()
    )
    swapped = torch.from_numpy(found.images.copy()).flip(0)
    assert found.mse.sum() <= float((swapped - x).square().mean((1, 2, 3)).sum()) + 1e-6


def test_total_variation_of_a_step() -> None:
    flat, step = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    assert total_variation(flat).item() == 0
    assert total_variation(step).item() == pytest.approx(1 / 3)
    assert total_variation(torch.ones(1, 1, 1, 1)).item() == 0


def test_what_cannot_be_inverted_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown gradient attack"):
        gradient_attack(smooth(), _image(), LABEL, "cpl", GradientSettings(), _generator())
    with pytest.raises(DataError, match="1 images with 2 labels"):
        gradient_attack(smooth(), _image(), torch.tensor([0, 1]), "dlg", GradientSettings(), _generator())
    with pytest.raises(UsageError, match="more than 0"):
        GradientSettings(batch=0)
