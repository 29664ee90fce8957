"""Calibration as a record: which images, which ranges; resumed after a kill; never on images that judge."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from export.calibration import Calibration, calibration_path, observe, observed_ranges
from export.recipes import find_recipe
from foundation.errors import DataError

if TYPE_CHECKING:
    from export.exporting import Exported, Source

pytestmark = pytest.mark.export

IMAGES = torch.from_numpy(np.random.default_rng(0).random((80, 1, 16, 16), np.float32))


def prepared(seed: int = 0) -> torch.fx.GraphModule:
    """A small network with observers that have seen nothing."""
    return copy.deepcopy(made(seed))


@cache
def made(seed: int) -> torch.fx.GraphModule:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    ).eval()
    graph = torch.export.export(network, (IMAGES[:1],)).module()
    found: torch.fx.GraphModule = prepare_pt2e(
        graph, XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    )
    return found


class Killed(Exception):
    pass


def killed_after(graph: torch.fx.GraphModule, count: int) -> None:
    """Let a graph die at an image."""
    seen: list[None] = []

    def look(*_: object) -> None:
        seen.append(None)
        if len(seen) > count:
            raise Killed

    graph.register_forward_pre_hook(look)


@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_int8", "tflite_int8_aeq"])
def test_a_record_stands_beside_every_calibrated_file(exported: Callable[[str, int], Exported], recipe: str) -> None:
    artifact = exported(recipe, 1).artifact
    record = Calibration.model_validate_json(calibration_path(artifact.path).read_text())
    assert (record.recipe, record.images) == (recipe, 128)
    assert record.images_sha256 == artifact.manifest.calibration_sha256
    assert record.method == ("min_max" if recipe.endswith("aeq") else "histogram")
    assert len(record.ranges) > 3
    assert len({one.name for one in record.ranges}) == len(record.ranges)
    for one in record.ranges:
        assert one.low is None or one.high is None or one.low <= one.high


def test_a_float_file_has_no_such_record(exported: Callable[[str, int], Exported]) -> None:
    assert not calibration_path(exported("tflite_fp32", 1).artifact.path).exists()


def test_ranges_are_those_of_the_images(tmp_path: Path) -> None:
    graph = prepared()
    observe(graph, IMAGES, tmp_path / "state")
    first = next(iter(observed_ranges(graph)))
    assert first.low == pytest.approx(float(IMAGES.min()))
    assert first.high == pytest.approx(float(IMAGES.max()))
    assert first.scale == pytest.approx(1 / 255, rel=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_calibration_goes_on_where_it_stood(tmp_path: Path) -> None:
    state, whole = tmp_path / "state", prepared()
    observe(whole, IMAGES)
    first = prepared()
    killed_after(first, 70)
    with pytest.raises(Killed):
        observe(first, IMAGES, state)
    second = prepared()
    killed_after(second, 80 - 64)
    observe(second, IMAGES, state)
    assert list(observed_ranges(second)) == list(observed_ranges(whole))
    assert not state.exists()


@pytest.mark.parametrize("change", ["network", "images", "torn"])
def test_what_another_calibration_left_is_not_taken(tmp_path: Path, change: str) -> None:
    state, first = tmp_path / "state", prepared()
    killed_after(first, 70)
    with pytest.raises(Killed):
        observe(first, IMAGES, state)
    if change == "torn":
        state.write_bytes(state.read_bytes()[:50])
    seed, images = int(change == "network"), IMAGES.flip(0) if change == "images" else IMAGES
    alone, resumed = prepared(seed), prepared(seed)
    observe(alone, images)
    observe(resumed, images, state)
    assert list(observed_ranges(resumed)) == list(observed_ranges(alone))


def test_test_images_do_not_calibrate(source_of: Callable[[int], Source], tmp_path: Path) -> None:
    from export.exporting import export

    source = source_of(1)
    with pytest.raises(DataError, match="128 of 128 calibration images are among those of the parity gate"):
        export(replace(source, calibration=source.unseen), find_recipe("executorch_int8"), tmp_path)
    assert list(tmp_path.iterdir()) == []
