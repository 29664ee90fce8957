"""Layers and forms of file that our own networks and recipes do not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.inspection import inspect_model

pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN with grouped, dilated, depthwise and transposed convolutions, as one file of each form."""
    import litert_torch
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
    from torch import nn

    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4),
        nn.ReLU6(),
        nn.Conv2d(12, 12, 3, groups=12),
        nn.ConvTranspose2d(12, 4, 2, 2),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(144, 5),
    ).eval()
    images, folder = torch.zeros(1, 3, 16, 16), tmp_path_factory.mktemp("forms")
    wrapped = litert_torch.to_channel_last_io(network, args=[0]).eval()
    litert_torch.convert(wrapped, (images.permute(0, 2, 3, 1).contiguous(),)).export(str(folder / "plain.tflite"))

    def lower(name: str, *, delegated: bool, **settings: bool) -> None:
        partitioner = [XnnpackPartitioner()] if delegated else []
        lowered = to_edge_transform_and_lower(torch.export.export(network, (images,)), partitioner=partitioner)
        (folder / name).write_bytes(lowered.to_executorch(ExecutorchBackendConfig(**settings)).buffer)

    lower("delegated.pte", delegated=True)
    lower("inline.pte", delegated=True, extract_delegate_segments=False)
    lower("portable.pte", delegated=False)
    lower("elsewhere.pte", delegated=False, external_constants=True)
    return folder


# By hand: places of the output (of the input, where transposed) x weights.
MACS = sorted([64 * 8 * 27, 64 * 12 * 18, 36 * 12 * 9, 36 * 12 * 4 * 4, 144 * 5])
PARAMETERS = (8 * 27 + 8) + (12 * 18 + 12) + (12 * 9 + 12) + (12 * 4 * 4 + 4) + (144 * 5 + 5)


@pytest.mark.parametrize("name", ["plain.tflite", "delegated.pte", "inline.pte", "portable.pte", "elsewhere.pte"])
def test_every_kind_of_convolution_counts_as_it_multiplies(files: Path, name: str) -> None:
    found = inspect_model(files / name)
    assert sorted(one.macs for one in found.operators if one.macs) == MACS
    assert {dtype: (one.count, one.bytes) for dtype, one in found.parameters.items()} == {
        "float32": (PARAMETERS, 4 * PARAMETERS)
    }
    assert found.untold == ()
    assert found.warnings == () or name == "elsewhere.pte"


def test_a_grouped_convolution_wants_a_newer_runtime(files: Path) -> None:
    # Grouped convolutions came with version 6, in 2.9.
    assert inspect_model(files / "plain.tflite").oldest_runtime == "2.9"


def test_a_delegate_within_the_flatbuffer_is_read_too(files: Path) -> None:
    inline, behind = (inspect_model(files / name) for name in ("inline.pte", "delegated.pte"))
    assert inline.operators == behind.operators
    assert inline.delegated_fraction == 1.0


def test_constants_in_another_file_are_told(files: Path) -> None:
    (warning,) = inspect_model(files / "elsewhere.pte").warnings
    assert "10 constants stand in another file" in warning
