"""Two halves: their shapes, their weights, and what stands between them."""

from __future__ import annotations

import pytest
import torch

from defense.protections import find_protection
from defense.split.model import build_client, build_server, build_split, z_shape
from foundation.errors import UsageError


def _seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("protection", ["none", "psgl"])
@pytest.mark.parametrize("shape", [(16, 16, 1), (15, 17, 3), (9, 16, 1)])
def test_images_of_any_size_go_through_and_psgl_leaves_smashed_data_of_the_plain_size(
    protection: str, shape: tuple[int, int, int]
) -> None:
    model = build_split(shape, 4, find_protection(protection), _seeded()).eval()
    x, y = torch.rand(2, shape[2], *shape[:2]), torch.tensor([0, 3])
    z = model.smashed(x, y)
    assert z.shape == (2, 16, -(-shape[0] // 2), -(-shape[1] // 2))
    assert z.shape[1:] == z_shape(model.client, shape, model.protection)
    assert model.logits(x).shape == (2, 4)


def test_each_process_makes_its_own_half_and_they_are_those_of_one_process() -> None:
    protection = find_protection("none")
    whole = build_split((16, 16, 1), 4, protection, _seeded(), depth=3, width=5)
    client = build_client((16, 16, 1), protection, 3, 3, 5)
    server = build_server(z_shape(client, (16, 16, 1), protection), 4, protection, 3, 3)
    for own, other in ((whole.client, client), (whole.server, server)):
        assert all(torch.equal(a, b) for a, b in zip(own.parameters(), other.parameters(), strict=True))
    other = build_split((16, 16, 1), 4, protection, _seeded(4), depth=3, width=5)
    assert not torch.equal(next(whole.client.parameters()), next(other.client.parameters()))


def test_making_a_network_leaves_the_global_source_of_chance_alone() -> None:
    before = torch.random.get_rng_state()
    build_split((16, 16, 1), 4, find_protection("psgl"), _seeded())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("depth", "width"), [(0, None), (8, None), (2, 0)])
def test_a_cut_that_cannot_be_is_refused(depth: int, width: int | None) -> None:
    with pytest.raises(UsageError):
        build_split((16, 16, 1), 4, find_protection("none"), _seeded(), depth=depth, width=width)


def test_judging_changes_no_running_statistic_and_no_mode_but_has_gradients() -> None:
    model = build_split((16, 16, 1), 4, find_protection("none"), _seeded()).train()
    before = {name: tensor.clone() for name, tensor in model.server.state_dict().items()}
    x = torch.rand(4, 1, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(model.judge(x)[:, 0].sum(), x)
    assert float(slope.abs().max()) > 0
    assert model.client.training
    assert model.server.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.server.state_dict().items())


def test_a_batch_of_one_trains_even_where_one_number_is_left_of_it() -> None:
    model = build_split((8, 8, 1), 2, find_protection("none"), _seeded()).train()
    z = model.smashed(torch.rand(1, 1, 8, 8), torch.tensor([1]))
    loss, crossing = model.server.loss(z, torch.tensor([1]))
    loss.backward()
    assert crossing is loss
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.client.parameters() if p.grad is not None)
