"""A client with decoders in the loop says less than one without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from defense.inversion.decoder import DecoderSettings, decoder_attack
from defense.protections import AttackerAware, GaussianNoise, find_protection
from defense.split.combined import Combined
from defense.split.model import SplitModel
from defense.split.protection import Protection
from foundation.errors import ArtifactError

CLASS = torch.tensor([1.0, -1.0]).repeat(4, 2)
OWN = CLASS.T


def _faces(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images of a pattern whose sign is the class, and one of the patient's own, three times as strong."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 2, (count,), generator=generator)
    own = torch.randn(count, 1, 1, 1, generator=generator)
    return (0.5 + 0.05 * (2.0 * y - 1).view(-1, 1, 1, 1) * CLASS + 0.15 * own * OWN).clamp(0, 1), y


def _trained(protection: Protection) -> SplitModel:
    """A client that sends both at first: one number for each pattern."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        client = nn.Sequential(nn.Conv2d(1, 2, 4), nn.BatchNorm2d(2))
        server = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        client[0].weight.copy_(torch.stack([CLASS + 0.2 * OWN, OWN + 0.2 * CLASS]).unsqueeze(1) / 2)
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam([*client.parameters(), *server.parameters()], 5e-3)
    for step in range(200):
        x, y = _faces(32, step)
        z = client(x)
        loss = functional.cross_entropy(server(protection.release(z, generator)), y) + protection.penalty(x, z)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        protection.learn(x, z.detach())
    return SplitModel(client, server, protection).eval()


def _read(model: SplitModel) -> float:
    settings = DecoderSettings(architectures=("linear",), augmented=False)
    return decoder_attack(
        model, _faces(200, 1000)[0], _faces(64, 2000)[0], settings, torch.Generator().manual_seed(7)
    ).mean_mse


def test_a_fresh_decoder_reads_less_of_an_aware_client_which_still_does_its_task() -> None:
    protection = AttackerAware(1.0, opponents=1, practice=1)
    protection.warmup = 20
    aware, bare = _trained(Combined((protection, GaussianNoise(0.03)))), _trained(GaussianNoise(0.03))
    assert _read(aware) > 3 * _read(bare)
    x, y = _faces(200, 3000)
    with torch.no_grad():
        assert (aware.logits(x).argmax(1) == y).float().mean() > 0.9


def _step(protection: Protection, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(8, 1, 16, 16, generator=generator)
    z = x[:, :, ::4, ::4].repeat(1, 2, 1, 1).requires_grad_()
    penalty = protection.penalty(x, z)
    protection.learn(x, z.detach())
    return float(penalty.detach())


def test_the_penalty_rises_as_decoders_learn_to_about_one_where_all_can_be_read() -> None:
    protection = AttackerAware(0.5)
    protection.warmup = 1
    seen = [_step(protection, 0) for _ in range(60)]
    assert seen[0] == 0
    assert seen[1] < 0.1
    assert 0.3 < seen[-1] < 0.6


def test_smashed_data_that_are_all_alike_cost_nothing() -> None:
    protection = AttackerAware(0.5)
    for seed in range(5):
        _step(protection, seed)
    assert protection.penalty(torch.rand(8, 1, 16, 16), torch.ones(8, 2, 4, 4)).item() == pytest.approx(0, abs=1e-9)


def test_the_clients_gradient_does_not_touch_the_decoders() -> None:
    protection = AttackerAware(0.5)
    x, z = torch.rand(4, 1, 16, 16), torch.rand(4, 2, 4, 4, requires_grad=True)
    for _ in range(3):
        protection.learn(x, z.detach())
    opponent = protection.opponents[0]
    assert opponent is not None
    before = [None if p.grad is None else p.grad.clone() for p in opponent.decoder.parameters()]
    protection.penalty(x, z).backward()  # type: ignore[no-untyped-call]
    after = [p.grad for p in opponent.decoder.parameters()]
    assert all(torch.equal(b, a) for b, a in zip(before, after, strict=True) if b is not None and a is not None)
    assert z.grad is not None


@pytest.mark.parametrize("text", ["aware:0.5", "aware:0.5+clip:1"])
def test_a_saved_client_goes_on_as_if_nothing_had_happened(text: str) -> None:
    kept, resumed = find_protection(text), find_protection(text)
    for seed in range(5):
        _step(kept, seed)
    resumed.load_state({name: value.clone() for name, value in kept.state().items()})
    assert [_step(kept, seed) for seed in range(5, 9)] == [_step(resumed, seed) for seed in range(5, 9)]


def test_a_state_before_the_first_step_is_empty_and_of_another_shape_is_refused() -> None:
    assert AttackerAware().state() == {}
    AttackerAware().load_state({})
    protection = AttackerAware()
    _step(protection, 0)
    state = protection.state()
    state["opponent0.shape"] = torch.tensor([9, 4, 4])
    with pytest.raises(ArtifactError, match="decoder"):
        AttackerAware().load_state(state)


def test_opponents_are_forgotten_in_turn() -> None:
    protection = AttackerAware()
    protection.forgets = 3
    # Held, so that a new one cannot have an old one's place in memory.
    opponents = []
    for seed in range(7):
        _step(protection, seed)
        opponents.append(tuple(protection.opponents))
    assert all(one is other for one, other in zip(opponents[0], opponents[2], strict=True))
    changed = np.array([one is not other for one, other in zip(opponents[2], opponents[3], strict=True)])
    assert changed.sum() == 1
