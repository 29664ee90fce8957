"""Space to depth: reversible for every size, and the same as a convolution that a device can run."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defense.psgl.depth import SpaceToDepthConvolution, depth_to_space, space_to_depth
from foundation.errors import DataError

SIZES = st.integers(1, 9)


@settings(max_examples=60, deadline=None)
@given(batch=st.integers(1, 3), channels=st.sampled_from([1, 3]), height=SIZES, width=SIZES)
def test_every_image_comes_back_bit_for_bit(batch: int, channels: int, height: int, width: int) -> None:
    x = torch.rand(batch, channels, height, width)
    cells = space_to_depth(x)
    assert cells.shape == (batch, 4 * channels, -(-height // 2), -(-width // 2))
    assert torch.equal(depth_to_space(cells, height, width), x)


@settings(max_examples=30, deadline=None)
@given(channels=st.sampled_from([1, 3]), height=SIZES, width=SIZES, empty=st.integers(0, 2))
def test_the_devices_convolution_gives_the_same_cells_and_empty_channels(
    channels: int, height: int, width: int, empty: int
) -> None:
    x = torch.rand(2, channels, height, width)
    given = SpaceToDepthConvolution(channels, empty)(x)
    assert torch.equal(given[:, : 4 * channels], space_to_depth(x))
    assert given.shape[1] == 4 * channels + empty
    assert not given[:, 4 * channels :].any()


def test_a_cell_holds_its_own_four_pixels() -> None:
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert space_to_depth(x)[0, :, 0, 1].tolist() == [2, 3, 6, 7]


def test_cells_of_another_size_are_refused() -> None:
    cells = space_to_depth(torch.rand(1, 1, 5, 5))
    with pytest.raises(DataError, match="cells"):
        depth_to_space(cells, 7, 5)
    with pytest.raises(DataError, match="cells"):
        depth_to_space(cells[:, :3], 5, 5)
