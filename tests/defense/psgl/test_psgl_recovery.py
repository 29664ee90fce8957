"""The proximal gradient: against torch's own singular values, against its literal iteration, and on bad matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from defense.psgl import recovery as module
from defense.psgl.recovery import RecoverySettings, mixed, recovered, recovery, soft_threshold
from foundation.errors import DataError, UsageError

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 12))


def drawn(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_svd(matrices: Tensor, threshold: float | Tensor) -> Tensor:
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    return u @ torch.diag_embed((s - threshold).clamp_min(0)) @ vh


def nuclear(matrices: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrices).sum(1)


@settings(max_examples=60, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 2**31), threshold=st.floats(0.01, 5))
def test_the_gram_forms_soft_threshold_is_the_svds(shape: tuple[int, int, int], seed: int, threshold: float) -> None:
    matrices = drawn(shape, seed)
    assert torch.allclose(soft_threshold(matrices, threshold), by_svd(matrices, threshold), atol=1e-6)


def test_in_float32_too() -> None:
    matrices = drawn((8, 16, 256), 0, torch.float32)
    assert torch.allclose(soft_threshold(matrices, 4.0), by_svd(matrices, 4.0), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 2**31), threshold=st.floats(0.01, 5))
def test_the_nuclear_norm_shrinks(shape: tuple[int, int, int], seed: int, threshold: float) -> None:
    matrices = drawn(shape, seed)
    before, after = nuclear(matrices), nuclear(soft_threshold(matrices, threshold))
    assert bool((after < before).all())


@pytest.mark.parametrize(("mu", "iterations"), [(0.55, 1), (0.55, 3), (0.55, 10), (0.9, 2), (1.0, 1)])
@pytest.mark.parametrize("threshold", [0.05, 0.3])
@pytest.mark.parametrize("keeps", ["residual", "low_rank"])
def test_the_closed_form_is_the_literal_iteration(mu: float, iterations: int, threshold: float, keeps: str) -> None:
    z = drawn((3, 4, 5, 6), 1)
    matrices = z.flatten(2)
    cut = threshold * torch.linalg.svdvals(matrices)[:, :1]
    found = torch.zeros_like(matrices)
    for _ in range(iterations):
        found = by_svd(found - mu * (found - matrices), mu * cut)
    expected = matrices - found if keeps == "residual" else found
    expected = expected * (matrices.norm(dim=(1, 2)) / expected.norm(dim=(1, 2)))[:, None, None]
    given = recovered(z, RecoverySettings(threshold, mu, iterations, keeps))  # type: ignore[arg-type]
    assert torch.allclose(given.flatten(2), expected, atol=1e-9)


def test_each_image_is_recovered_by_itself() -> None:
    z = drawn((4, 5, 4, 4), 2)
    together = recovered(z, RecoverySettings())
    for k in range(len(z)):
        assert torch.allclose(recovered(z[k : k + 1], RecoverySettings())[0], together[k])


def test_more_channels_than_pixels() -> None:
    z = drawn((2, 12, 2, 2), 3)
    assert torch.allclose(soft_threshold(z.flatten(2), 0.7), by_svd(z.flatten(2), 0.7), atol=1e-6)
    assert bool(torch.isfinite(recovered(z, RecoverySettings())).all())


@pytest.mark.parametrize("keeps", ["residual", "low_rank"])
@pytest.mark.parametrize("threshold", [0.0, 0.1, 1.0])
def test_zeros_stay_zeros_and_ones_stay_numbers(keeps: str, threshold: float) -> None:
    z = torch.cat([torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)])
    given = recovered(z, RecoverySettings(threshold, keeps=keeps))  # type: ignore[arg-type]
    assert not given[0].any()
    assert bool(torch.isfinite(given).all())


def test_the_gradient_is_a_number_where_singular_values_meet() -> None:
    z = torch.eye(4).view(1, 4, 2, 2).repeat(2, 1, 1, 1).requires_grad_()
    recovered(z, RecoverySettings()).square().sum().backward()
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


def test_mixing_is_a_product_of_matrices_in_either_order_of_memory() -> None:
    z, matrices = drawn((2, 3, 4, 5), 4), drawn((2, 3, 3), 5)
    expected = torch.einsum("bij,bjhw->bihw", matrices, z)
    assert torch.allclose(mixed(matrices, z), expected)
    assert torch.allclose(mixed(matrices, z.contiguous(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_smashed_data_that_are_no_numbers_are_told(bad: float) -> None:
    z = torch.rand(2, 3, 4, 4)
    z[1, 0, 0, 0] = bad
    with pytest.raises(DataError, match="map"):
        recovery(z, RecoverySettings())


def test_eigenvalues_that_do_not_converge_are_had_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    z = drawn((2, 4, 3, 3), 6)
    expected = recovered(z, RecoverySettings())
    wide = drawn((2, 9, 2, 2), 7)
    expected_wide = recovered(wide, RecoverySettings())
    monkeypatch.setattr(torch.linalg, "eigh", _fails)
    assert torch.allclose(recovered(z, RecoverySettings()), expected, atol=1e-9)
    assert torch.allclose(recovered(wide, RecoverySettings()), expected_wide, atol=1e-6)


def test_no_decomposition_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.linalg, "eigh", _fails)
    monkeypatch.setattr(torch.linalg, "svd", _fails)
    with pytest.raises(DataError, match="converge"):
        recovered(torch.rand(1, 2, 3, 3), RecoverySettings())


def _fails(*_: object, **__: object) -> None:
    raise module._NoConvergence("the algorithm failed to converge")


@pytest.mark.parametrize(
    "wrong", [{"threshold": -0.1}, {"threshold": 1.1}, {"mu": 0.0}, {"mu": 1.5}, {"iterations": 0}]
)
def test_settings_that_recover_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        RecoverySettings(**wrong)  # type: ignore[arg-type]
