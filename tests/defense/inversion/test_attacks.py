"""Every attack by name, and what is refused before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest
from blobs_and_halves import blobs, plain

from defense.inversion.attacks import ATTACKS, InversionSettings, attack_split
from defense.inversion.decoder import DecoderSettings
from defense.inversion.fsha import FshaSettings
from defense.inversion.gradients import GradientSettings
from foundation.errors import DataError, UsageError
from victim.dataset import Split

KNOWN, VICTIMS = blobs(24, 0), blobs(3, 1, first_patient=100)
SHORT = InversionSettings(
    DecoderSettings(epochs=1, architectures=("linear",)),
    FshaSettings(steps=2, batch=4),
    GradientSettings(steps=2, batch=2),
)


@pytest.mark.parametrize("which", ATTACKS)
def test_every_attack_gives_an_image_for_each_victim(which: str) -> None:
    found = attack_split(plain(), KNOWN, VICTIMS, which, SHORT)
    assert found.images.shape == (3, 1, 16, 16)
    assert found.images.dtype == np.float32
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    assert found.mse.shape == found.psnr.shape == found.ssim.shape == (3,)
    assert found.mean_psnr == pytest.approx(float(np.mean(-10 * np.log10(found.mse))))


@pytest.mark.parametrize("protection", ["psgl", "noise:0.1", "psgl+aware:0.5"])
@pytest.mark.parametrize("which", ["decoder", "fsha", "geiping"])
def test_protected_clients_are_attacked_through_their_protection(which: str, protection: str) -> None:
    from defense.protections import find_protection

    found = attack_split(plain(find_protection(protection)), KNOWN, VICTIMS, which, SHORT)
    assert np.isfinite(found.psnr).all()


def test_ssim_of_images_smaller_than_its_window_is_not_given() -> None:
    known, victims = blobs(24, 0, side=8), blobs(3, 1, side=8, first_patient=100)
    found = attack_split(plain(side=8), known, victims, "mean")
    assert np.isnan(found.ssim).all()
    assert np.isfinite(found.mse).all()


def test_what_cannot_be_attacked_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown attack"):
        attack_split(plain(), KNOWN, VICTIMS, "guess")
    with pytest.raises(DataError, match="on 0 victims"):
        attack_split(plain(), KNOWN, VICTIMS.take(np.arange(0)), "mean")
    with pytest.raises(DataError, match="auxiliary images are"):
        attack_split(plain(), blobs(4, 0, side=8), VICTIMS, "mean")
    shared = Split(VICTIMS.images, VICTIMS.labels, KNOWN.patients[:3])
    with pytest.raises(DataError, match="patient"):
        attack_split(plain(), KNOWN, shared, "mean")
