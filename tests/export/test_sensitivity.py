"""Layers that int8 hurts are found, spared, and no more of them than need be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.material import Material
from export.recipes import Recipe, find_recipe
from foundation.errors import CheckFailed, UsageError
from victim.dataset import Split
from victim.step import as_input
from victim.training import predict

if TYPE_CHECKING:
    from export.exporting import Source

pytestmark = pytest.mark.export

RAGGED = "second"


class Ragged(nn.Module):
    """One weight of its second layer is a thousand times the others: int8 rounds those to nothing."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 8, 3, padding=1, stride=2)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        with torch.no_grad():
            self.head.weight.mul_(20)
            # Of a channel that is always dark: it costs the others their bits, and changes nothing.
            self.first.weight[0] = 0
            assert self.first.bias is not None
            self.first.bias[0] = -1
            self.second.weight[:, 0, 1, 1] = 100.0

    def forward(self, x: Tensor) -> Tensor:
        found = torch.relu(self.second(torch.relu(self.first(x))))
        logits: Tensor = self.head(found.mean((2, 3)))
        return logits


@pytest.fixture(scope="module")
def ragged(source_of: Callable[[int], Source]) -> Source:
    source, network = source_of(1), Ragged().eval()
    with torch.no_grad():
        # All classes are answered, and small errors change some answers.
        network.head.bias.sub_(network(as_input(source.unseen)).mean(0))
    return replace(source, network=network)


def test_layers_are_named_as_the_modules_are(ragged: Source) -> None:
    from export.sensitivity import layers_of

    assert layers_of(ragged.network, as_input(ragged.calibration[:1])) == ["first", "second", "head"]


def test_the_layer_that_suffers_is_the_first(ragged: Source) -> None:
    from export.sensitivity import sensitivities

    material = Material.of(as_input(ragged.calibration[:16]), 16)
    found = sensitivities(ragged.network, material, as_input(ragged.unseen[:32]).contiguous())
    assert found[0].layer == RAGGED
    assert {one.layer for one in found} == {"first", "second", "head"}
    assert found[0].rms > 5 * found[1].rms
    assert found[0].agreement <= found[1].agreement


@pytest.mark.parametrize("name", ["executorch_int8", "tflite_int8_aeq"])
def test_a_spared_layer_brings_the_answers_back(ragged: Source, tmp_path: Path, name: str) -> None:
    from export.exporting import export

    base = find_recipe(name)
    spared = Recipe.model_validate(base.model_dump() | {"name": "spared", "float_layers": (RAGGED,)})
    rough, fine = (export(ragged, recipe, tmp_path) for recipe in (base, spared))
    assert fine.parity.rms < rough.parity.rms / 5
    assert fine.parity.agreement > rough.parity.agreement + 0.3


def test_a_layer_that_there_is_not_is_a_usage_error(ragged: Source, tmp_path: Path) -> None:
    from export.exporting import export

    told = find_recipe("executorch_int8").model_dump() | {"float_layers": ("third",)}
    with pytest.raises(UsageError, match="no layer third") as caught:
        export(ragged, Recipe.model_validate(told), tmp_path)
    assert "first, head, second" in (caught.value.hint or "")


def test_the_last_layer_can_be_spared_too(ragged: Source, tmp_path: Path) -> None:
    """It is the one that a file calls by the name of its output."""
    from export.exporting import export
    from export.flatbuffer import read_model

    told = find_recipe("tflite_int8_aeq").model_dump() | {"float_layers": ("head", RAGGED)}
    artifact = export(ragged, Recipe.model_validate(told), tmp_path).artifact
    (graph,) = read_model(artifact.path.read_bytes()).subgraphs
    assert artifact.manifest.output.dtype == "float32"
    assert graph.tensors[graph.operators[-1].inputs[1]].type == 0
    with pytest.raises(UsageError, match="no operator for layer third"):
        export(ragged, Recipe.model_validate(told | {"float_layers": ("third", "fourth")}), tmp_path)


def judged(source: Source) -> Split:
    """Images of the gate, with the float network's own answers for truth: no drop is none."""
    images = source.unseen[:200]
    return Split(images, predict(source.network, images).argmax(1).astype(np.int64), np.arange(200))


def test_the_choice_spares_no_more_than_it_must(ragged: Source, tmp_path: Path) -> None:
    from export.automatic import choose

    tried = list(choose(ragged, find_recipe("executorch_int8"), judged(ragged), 0.2, tmp_path))
    assert [one.float_layers for one in tried] == [(), (RAGGED,)]
    assert tried[0].drop > 0.2 >= tried[1].drop
    assert tried[1].exported.artifact.path.name == "executorch_int8_auto.pte"
    assert all(one.p50_us > 0 for one in tried)


def test_where_nothing_is_within_the_drop_it_says_so(ragged: Source, tmp_path: Path) -> None:
    from export.automatic import choose

    class Flat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(256, 4)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(x.flatten(1))
            return logits

    flat = replace(ragged, network=Flat().eval())
    tried = choose(flat, find_recipe("executorch_int8"), judged(flat), -1.0, tmp_path)
    assert [next(tried).float_layers, next(tried).float_layers] == [(), ("head",)]
    with pytest.raises(CheckFailed, match="with every layer in float32"):
        next(tried)
    with pytest.raises(UsageError, match="no layers to choose from"):
        next(choose(ragged, find_recipe("tflite_fp16"), judged(ragged), 0.01, tmp_path))
