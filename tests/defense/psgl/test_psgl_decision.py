"""Decision fusion: shares that sum to one and follow weight and confidence."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defense.psgl.decision import FUSED_ALONE, DecisionWeights, fuse, shares
from foundation.errors import UsageError


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 5), scale=st.floats(0.1, 30))
def test_every_images_shares_and_probabilities_sum_to_one(seed: int, classes: int, scale: float) -> None:
    logits = scale * torch.randn(3, 4, classes, generator=torch.Generator().manual_seed(seed))
    streams = logits.softmax(2)
    parts = shares(*streams, DecisionWeights())
    assert torch.allclose(torch.cat(parts, 1).sum(1), torch.ones(4))
    mixed = fuse(*streams, DecisionWeights())
    assert torch.allclose(mixed.sum(1), torch.ones(4))
    assert bool((mixed <= streams.amax(0) + 1e-6).all())
    assert bool((mixed >= streams.amin(0) - 1e-6).all())


def test_streams_equally_sure_count_by_their_weights() -> None:
    stream = torch.tensor([[0.7, 0.3]])
    gamma, rho, rest = shares(stream, stream, stream, DecisionWeights())
    assert [round(float(part), 6) for part in (gamma, rho, rest)] == [0.5, 0.3, 0.2]


def test_who_is_surer_of_an_image_counts_more_for_that_image_alone() -> None:
    sure, unsure = torch.tensor([0.98, 0.02]), torch.tensor([0.5, 0.5])
    recovered, fused = torch.stack([sure, unsure]), torch.stack([unsure, sure])
    gamma, rho, _ = shares(recovered, fused, torch.stack([unsure, unsure]), DecisionWeights(1, 1, 1))
    assert float(gamma[0]) > float(rho[0])
    assert float(gamma[1]) < float(rho[1])


def test_one_stream_alone() -> None:
    streams = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0)).softmax(2)
    assert torch.allclose(fuse(*streams, FUSED_ALONE), streams[1])


@pytest.mark.parametrize("weights", [(0.0, 0.0, 0.0), (-0.1, 0.6, 0.5)])
def test_weights_that_weigh_nothing_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(UsageError):
        DecisionWeights(*weights)
