"""A server that teaches the client to be read."""

from __future__ import annotations

import pytest
import torch
from blobs_and_halves import blobs, plain

from defense.inversion.fsha import FshaSettings, fsha_attack
from defense.protections import find_protection
from foundation.errors import DataError, UsageError
from victim.step import as_input

KNOWN, PRIVATE = blobs(64, 0), blobs(24, 1)


def _attack(steps: int, scale: float = 1.0) -> float:
    found = fsha_attack(
        plain(),
        as_input(KNOWN.images),
        as_input(PRIVATE.images),
        torch.from_numpy(PRIVATE.labels),
        FshaSettings(steps=steps, batch=8, scale=scale, client_rate=3e-3, server_rate=3e-3),
        torch.Generator().manual_seed(0),
    )
    return found.mean_mse


def test_a_hijack_reads_more_the_longer_it_runs_and_needs_what_it_sends_back() -> None:
    """A server that sends nothing back has a pilot and a decoder all the same: they read another client's features."""
    hijacked = _attack(80)
    assert hijacked < _attack(1)
    assert hijacked < _attack(80, scale=1e-12)


def test_the_model_under_attack_and_its_protection_stay_as_they_were() -> None:
    model = plain(find_protection("aware:0.5+noise:0.1"))
    before = {name: value.clone() for name, value in model.client.state_dict().items()}
    x, labels = as_input(PRIVATE.images), torch.from_numpy(PRIVATE.labels)
    fsha_attack(model, x, x, labels, FshaSettings(steps=2, batch=4), torch.Generator().manual_seed(0))
    assert all(torch.equal(before[name], value) for name, value in model.client.state_dict().items())
    assert model.protection.state() == {}


def test_bad_settings_and_too_few_images_are_refused() -> None:
    with pytest.raises(UsageError, match="at least one step"):
        FshaSettings(steps=0)
    x = as_input(PRIVATE.images)
    with pytest.raises(DataError, match="1 public"):
        fsha_attack(plain(), x[:1], x, torch.zeros(24), FshaSettings(), torch.Generator())
