"""Every attack that reads patients back, by name."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from defense.inversion.decoder import DecoderSettings, decoder_attack
from defense.inversion.fsha import FshaSettings, fsha_attack
from defense.inversion.gradients import METHODS, GradientSettings, gradient_attack
from defense.inversion.reconstruction import Reconstruction, measured
from defense.split.model import SplitModel
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress
from victim.dataset import Split
from victim.step import as_input

EVERYTHING = ":all"
ATTACKS = ("mean", "decoder", "fsha", *METHODS, *(method + EVERYTHING for method in METHODS))


@dataclass(frozen=True)
class InversionSettings:
    """Settings of each kind of attack."""

    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    fsha: FshaSettings = field(default_factory=FshaSettings)
    gradients: GradientSettings = field(default_factory=GradientSettings)


def attack_split(
    model: SplitModel,
    auxiliary: Split,
    victims: Split,
    which: str,
    settings: InversionSettings | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Reconstruction:
    """Read the victims' images back from what leaves their client.

    Args:
        model: the split network; left unchanged.
        auxiliary: images of the same kind that the attacker has, of other patients; labels are not used.
        victims: whose images the attack is after; their labels are known where the channel carries them.
        which: one of `ATTACKS`. `mean` draws the auxiliary images' mean: what is had without any attack. `decoder` and
            `fsha` read smashed data; `dlg`, `idlg`, `geiping` the client's shared gradients, and with `:all` those of
            the server's parameters too.
        settings: None takes each attack's defaults.
        seed: of all chance.
        progress: where to show progress.

    Raises:
        UsageError: unknown attack.
        DataError: no images, images of two shapes, or a patient who is both known and a victim.
    """
    if which not in ATTACKS:
        raise UsageError(f"unknown attack {which!r}", hint=f"use {', '.join(ATTACKS)}")
    known, private = _inputs(auxiliary, victims)
    settings = settings or InversionSettings()
    labels, generator = torch.from_numpy(victims.labels), torch.Generator().manual_seed(seed)
    if which == "mean":
        start = time.perf_counter()
        mean = known.mean(0, keepdim=True).expand(private.shape)
        return measured(mean, private, time.perf_counter() - start)
    if which == "decoder":
        return decoder_attack(model, known, private, settings.decoder, generator, progress, patients=auxiliary.patients)
    if which == "fsha":
        return fsha_attack(model, known, private, labels, settings.fsha, generator, progress)
    gradients = replace(settings.gradients, everything=which.endswith(EVERYTHING))
    method = which.removesuffix(EVERYTHING)
    return gradient_attack(model, private, labels, method, gradients, generator, progress, start=known.mean(0))


def _inputs(auxiliary: Split, victims: Split) -> tuple[Tensor, Tensor]:
    if not len(auxiliary) or not len(victims):
        raise DataError(f"an attack with {len(auxiliary)} auxiliary images on {len(victims)} victims")
    if auxiliary.images.shape[1:] != victims.images.shape[1:]:
        raise DataError(f"auxiliary images are {auxiliary.images.shape[1:]}, the victims' {victims.images.shape[1:]}")
    if set(auxiliary.patients.tolist()) & set(victims.patients.tolist()):
        raise DataError("a victim's patient stands among the auxiliary images too", hint="split by patient")
    return as_input(auxiliary.images), as_input(victims.images)
