"""The ablation: one row for each variant and seed, with raw figures."""

import numpy as np
import pytest

from defense.psgl.ablation import VARIANTS, StreamAccuracies, ablate
from defense.split.halves import SplitSettings
from victim.dataset import Dataset, Split


@pytest.fixture
def dataset() -> Dataset:
    generator = np.random.default_rng(0)

    def split(count: int) -> Split:
        labels = np.arange(count) % 2
        images = generator.integers(0, 120, (count, 15, 16, 1), dtype=np.uint8)
        images[labels == 1, :8] += 100
        return Split(images, labels, np.arange(count))

    return Dataset("halves", ("dark", "bright"), split(32), split(4), split(20), split(4))


def test_each_variant_and_seed_is_trained_and_tested(dataset: Dataset) -> None:
    chosen = {name: VARIANTS[name] for name in ("plain", "normalised", "depth 1")}
    rows = ablate(dataset, SplitSettings(epochs=2, batch=16), [0, 1], chosen)
    assert [(row.variant, row.seed) for row in rows] == [(name, seed) for seed in (0, 1) for name in chosen]
    for row in rows:
        assert row.images == 20
        assert row.client_ms > 0 < row.server_ms
        for tested in (row.mapped, row.bare):
            assert all(0 <= share <= 1 for share in tested.decisions.values())
    plain, normalised, _ = rows[:3]
    assert plain.mapped == StreamAccuracies(None, None, None, plain.bare.decisions)
    assert (plain.moved, plain.largest) == (0, 0)
    assert 0.2 < normalised.largest <= 0.25 + 1e-6
    assert normalised.mapped.fused is not None
    assert set(normalised.mapped.decisions) == {"paper", "equal", "fused first"}


def test_one_variant_is_of_each_open_point() -> None:
    assert len(set(map(repr, VARIANTS.values()))) == len(VARIANTS)
