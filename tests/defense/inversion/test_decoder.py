"""A learned decoder on smashed data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from blobs_and_halves import blobs, plain

from defense.inversion.decoder import DecoderSettings, decoder_attack
from defense.inversion.networks import ConvolutionalDecoder, DenseDecoder
from defense.inversion.reconstruction import measured
from defense.protections import GaussianNoise
from foundation.errors import DataError, UsageError
from victim.step import as_input

KNOWN, VICTIMS = as_input(blobs(64, 0).images), as_input(blobs(24, 1).images)
MEAN_PSNR = measured(KNOWN.mean(0, keepdim=True).expand_as(VICTIMS), VICTIMS, 0.0).mean_psnr


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("architecture", ["linear", "dense", "convolutional"])
def test_plain_smashed_data_are_read(architecture: str) -> None:
    settings = DecoderSettings(epochs=12, batch=8, learning_rate=4e-3, architectures=(architecture,))
    found = decoder_attack(plain(), KNOWN, VICTIMS, settings, _generator())
    assert found.mean_psnr > MEAN_PSNR + 1.5


def test_the_decoder_that_validates_best_attacks() -> None:
    settings = DecoderSettings(epochs=2, batch=16, architectures=("linear", "dense"))
    found = decoder_attack(plain(), KNOWN, VICTIMS, settings, _generator())
    errors = {name: found.notes[f"{name}.validation_mse"] for name in settings.architectures}
    best = min(errors, key=lambda name: errors[name])
    assert found.mean_psnr == pytest.approx(found.notes[f"{best}.psnr"])


def test_a_decoder_is_not_judged_on_patients_it_learns_from() -> None:
    noise, patients = torch.rand(KNOWN.shape, generator=_generator()), np.tile(np.arange(len(KNOWN)), 2)
    twins = torch.cat([noise, noise])
    settings = DecoderSettings(epochs=1, architectures=("linear",), augmented=False)
    told = decoder_attack(plain(), twins, VICTIMS, settings, _generator(), patients=patients)
    untold = decoder_attack(plain(), twins, VICTIMS, settings, _generator())
    assert told.notes["linear.validation_mse"] > 2 * untold.notes["linear.validation_mse"]
    one = decoder_attack(plain(), KNOWN, VICTIMS, settings, _generator(), patients=np.zeros(len(KNOWN), np.int64))
    assert one.mean_psnr > MEAN_PSNR


def test_noise_hides_and_averaged_releases_win_some_of_it_back() -> None:
    model = plain(GaussianNoise(0.3))
    read = {}
    for repeats in (1, 32):
        settings = DecoderSettings(epochs=1, repeats=repeats, architectures=("linear",), augmented=False)
        read[repeats] = decoder_attack(model, KNOWN, VICTIMS, settings, _generator()).mean_psnr
    bare = decoder_attack(plain(), KNOWN, VICTIMS, settings, _generator()).mean_psnr
    assert read[1] + 1 < read[32] < bare


def test_the_same_seed_reads_the_same() -> None:
    settings = DecoderSettings(epochs=2, architectures=("dense",))
    first, second = (decoder_attack(plain(), KNOWN, VICTIMS, settings, _generator()) for _ in range(2))
    assert (first.images == second.images).all()


def test_the_model_is_left_as_it_was() -> None:
    model = plain().train()
    before = {name: value.clone() for name, value in model.client.state_dict().items()}
    decoder_attack(model, KNOWN, VICTIMS, DecoderSettings(epochs=1), _generator())
    assert model.client.training
    assert all(torch.equal(before[name], value) for name, value in model.client.state_dict().items())


@pytest.mark.parametrize("image", [(1, 15, 17), (3, 16, 16), (1, 70, 66)])
@pytest.mark.parametrize("decoder", [ConvolutionalDecoder, DenseDecoder])
def test_decoders_start_from_the_mean_image_of_any_size(
    decoder: type[ConvolutionalDecoder | DenseDecoder], image: tuple[int, int, int]
) -> None:
    mean = torch.full(image, 0.3)
    z_shape = (2, math.ceil(image[1] / 4), math.ceil(image[2] / 4))
    drawn = decoder(z_shape, mean)(torch.zeros(2, *z_shape))
    assert drawn.shape == (2, *image)
    assert (drawn - mean).abs().mean() < 0.1


def test_wide_smashed_data_are_averaged_down_for_the_dense_decoder() -> None:
    decoder = DenseDecoder((64, 32, 32), torch.zeros(1, 64, 64))
    assert decoder(torch.zeros(1, 64, 32, 32)).shape == (1, 1, 64, 64)
    assert sum(p.numel() for p in decoder.parameters()) < 20_000_000


def test_bad_settings_and_too_few_images_are_refused() -> None:
    with pytest.raises(UsageError, match="unknown decoders"):
        DecoderSettings(architectures=("transformer",))
    with pytest.raises(UsageError, match="at least one"):
        DecoderSettings(epochs=0)
    with pytest.raises(DataError, match="3 auxiliary images"):
        decoder_attack(plain(), KNOWN[:3], VICTIMS, DecoderSettings(), _generator())
