"""Layer by layer: the one that is off is found, and what was overwritten is not taken for it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from export.recipes import find_recipe
from foundation.errors import ArtifactError

if TYPE_CHECKING:
    from export.exporting import Exported, Source
    from export.layers import LayerError

pytestmark = [pytest.mark.export, pytest.mark.timeout(120, func_only=True)]

Exports = Callable[[str, int], "Exported"]


class Block(nn.Module):
    """A sum, which runtimes compute in place of one of its terms."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(1, 4, 1)
        self.last = nn.Linear(4 * 16 * 16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        summed = torch.relu(self.second(self.first(x)) + self.shortcut(x))
        answered: torch.Tensor = self.last(summed.flatten(1))
        return answered


@pytest.fixture(scope="module")
def block() -> Block:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Block().eval()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((4, 16, 16, 1), np.float32)


def float_file(network: nn.Module) -> bytes:
    from export import tflite
    from export.material import Material, Shared

    return tflite.float_file(network, Material.of(torch.zeros(1, 1, 16, 16), 0), Shared())


def spoilt(network: Block, layer: str) -> Block:
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.get_submodule(layer).weight.mul_(-1)  # type: ignore[operator, union-attr]
    return other


def parting(errors: list[LayerError]) -> str | None:
    return next((error.layer for error in errors if error.parts), None)


def test_the_layer_of_a_file_that_is_off_is_named(block: Block, images: np.ndarray) -> None:
    from export.layers import of_file

    plain = float_file(block)
    same = of_file(plain, plain, images, 1e-6)
    assert [error.layer for error in same][:3] == ["first.0", "second", "shortcut"]
    assert parting(same) is None
    assert all((error.relative_rms or 0) == 0 for error in same)
    assert parting(of_file(float_file(spoilt(block, "second")), plain, images, 0.01)) == "second"
    assert parting(of_file(float_file(spoilt(block, "shortcut")), plain, images, 0.01)) == "shortcut"


def test_files_that_compute_otherwise_cannot_be_compared_by_layers(block: Block, images: np.ndarray) -> None:
    from export.layers import of_file

    shallow = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 16 * 16, 4)).eval()
    assert of_file(float_file(shallow), float_file(block), images, 0.1) == []


def test_what_an_older_runtime_overwrites_is_not_taken_for_an_error(
    block: Block, images: np.ndarray, legacy_packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.layers import between_runtimes

    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(legacy_packages.parents[1]))
    found = between_runtimes(float_file(block), images, 1e-4)
    assert parting(found) is None
    # 2.14 writes the sum over its first term; LiteRT 2.3 keeps both.
    assert [error.layer for error in found if error.relative_rms is None] == ["second"]


def test_the_module_of_a_graph_that_is_off_is_named(block: Block, images: np.ndarray) -> None:
    from export.layers import of_graph

    given = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    graph = torch.export.export(spoilt(block, "shortcut"), (given[:1],)).module()
    assert parting(of_graph(graph, block, given, 1e-4)) == "shortcut"
    graph = torch.export.export(block, (given[:1],)).module()
    assert parting(of_graph(graph, block, given, 1e-4)) is None


@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_int8", "executorch_fp16"])
def test_layers_are_looked_at_where_somebody_asks_and_where_the_gate_fails(
    source_of: Callable[[int], Source], tmp_path: Path, recipe: str
) -> None:
    from export.exporting import export

    source, asked = source_of(1), find_recipe(recipe)
    found = export(source, asked, tmp_path, layers=True)
    assert found.parity.ok
    assert found.layers
    assert parting(list(found.layers)) is None
    assert all(0 < (error.relative_rms or 0) < 0.1 for error in found.layers)
    failed = export(source, asked.model_copy(update={"max_relative_rms": 1e-9}), tmp_path)
    assert not failed.parity.ok
    assert parting(list(failed.layers)) == found.layers[0].layer


def test_a_file_that_no_runtime_takes_is_told(images: np.ndarray) -> None:
    from export.layers import of_file

    with pytest.raises(ArtifactError, match="does not tell this file's layers"):
        of_file(b"no model at all", b"neither", images, 0.1)


def test_another_network_shares_nothing(source_of: Callable[[int], Source], exported: Exports, tmp_path: Path) -> None:
    """Recipes of one network share conversions: of another they must not."""
    from export.exporting import export

    source = source_of(1)
    exported("tflite_fp32", 1)
    other = copy.deepcopy(source.network)
    with torch.no_grad():
        other[-1].bias.add_(5.0)  # type: ignore[index, union-attr]
    made = export(replace(source, network=other), find_recipe("tflite_fp32"), tmp_path)
    assert made.parity.ok
    assert made.artifact.manifest.sha256 != exported("tflite_fp32", 1).artifact.manifest.sha256
