"""The phantom: reproducible to the last bit, balanced, split by patient, and ill where it says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import UsageError
from victim.dataset import Split
from victim.phantom import CLASS_NAMES, SLICES_PER_PATIENT, phantom, proxy_images, render
from victim.phantom import cohort as cohort_module
from victim.phantom.chance import Chance
from victim.phantom.rendering import draw
from victim.phantom.scanner import field, texture_spectrum
from victim.phantom.shapes import Capsules, Grid

SMALL = {"images_train": 32, "images_val": 16, "images_test": 16, "images_thief": 16}


def same(one: Split, other: Split) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("images", "labels", "patients"))


def of_label(label: int, patients: int = 48, hospital: str = "victim") -> np.ndarray:
    """The first slice of some patients, all given one class, as int16 so that differences do not wrap."""
    numbers = np.arange(patients)
    pictures = draw(hospital, 3, numbers, np.zeros_like(numbers), np.full_like(numbers, label))  # type: ignore[arg-type]
    return pictures.astype(np.int16)


def test_images_are_uint8_with_one_channel_and_balanced_classes() -> None:
    split = render(64, "victim", 0)
    assert split.images.shape == (64, 64, 64, 1)
    assert split.images.dtype == np.uint8
    assert split.labels.dtype == split.patients.dtype == np.int64
    assert np.bincount(split.labels).tolist() == [16] * len(CLASS_NAMES)


def test_slices_of_a_patient_share_the_class_but_not_the_pixels() -> None:
    split = render(16, "victim", 0)
    for patient in np.unique(split.patients):
        own = split.take(np.flatnonzero(split.patients == patient))
        assert len(own) == SLICES_PER_PATIENT
        assert len(np.unique(own.labels)) == 1
        assert len(np.unique(own.images.reshape(len(own), -1), axis=0)) == SLICES_PER_PATIENT


def test_two_slices_of_a_patient_are_more_alike_than_slices_of_two_patients() -> None:
    images = render(80, "victim", 0).images[..., 0].astype(np.float32).reshape(20, SLICES_PER_PATIENT, 64, 64)
    within = np.abs(images[:, 0] - images[:, 1]).mean()
    between = np.abs(images[:-1, 0] - images[1:, 0]).mean()
    assert within < 0.5 * between


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_no_bit(workers: int) -> None:
    assert same(render(200, "victim", 7, workers=workers), render(200, "victim", 7, workers=3))


def test_an_image_does_not_depend_on_how_many_are_asked_for_or_where_the_batch_begins() -> None:
    whole = render(151, "proxy", 1)
    assert same(render(3, "proxy", 1), whole.take(np.arange(3)))
    later = render(61, "proxy", 1, first_patient=22)
    assert same(later, whole.take(np.arange(88, 149)))


def test_an_image_does_not_depend_on_its_neighbours() -> None:
    together = draw("victim", 0, np.array([5, 900, 31]), np.array([0, 1, 2]), np.array([1, 0, 3]))
    alone = draw("victim", 0, np.array([31]), np.array([2]), np.array([3]))
    assert np.array_equal(together[2], alone[0])


def test_another_seed_or_hospital_means_other_patients() -> None:
    one = render(8, "victim", 0).images
    assert not np.array_equal(one, render(8, "victim", 1).images)
    assert not np.array_equal(one, render(8, "proxy", 0).images)


def test_hospitals_differ_in_background_and_sharpness() -> None:
    victim, proxy = (render(64, hospital, 0).images[..., 0].astype(np.float32) for hospital in ("victim", "proxy"))
    assert proxy[:, 0, :].mean() > victim[:, 0, :].mean() + 5, "the proxy's window shows air brighter"
    body = (slice(None), slice(16, 48), slice(8, 56))
    sharpness = [np.abs(np.diff(images[body], axis=2)).mean() / images[body].std() for images in (victim, proxy)]
    assert sharpness[1] > 1.05 * sharpness[0]


def test_other_sizes_show_the_same_anatomy() -> None:
    small = render(8, "victim", 0, size=64).images[..., 0].astype(np.float32)
    large = render(8, "victim", 0, size=128).images[..., 0].astype(np.float32)
    shrunk = large.reshape(8, 64, 2, 64, 2).mean(axis=(2, 4))
    assert np.abs(small - shrunk).mean() < 8


def test_a_nodule_brightens_a_small_part_of_a_lung() -> None:
    normal, cancer = of_label(0), of_label(1)
    change = cancer - normal
    seen = (np.abs(change) > 15).sum(axis=(1, 2))
    assert (seen >= 2).mean() > 0.9
    assert seen.max() < 0.06 * 64 * 64
    assert (change.sum(axis=(1, 2)) > 0).mean() > 0.9
    for picture, moved in zip(normal, np.abs(change), strict=True):
        centre = np.unravel_index(moved.argmax(), moved.shape)
        assert picture[centre] < 170, "it replaced lung, or lies against a vessel; it is not in bone or heart"


def test_an_embolus_darkens_bright_vessels_and_nothing_else() -> None:
    normal, embolism = of_label(0), of_label(2)
    change = embolism - normal
    lost = change < -15
    assert (lost.sum(axis=(1, 2)) >= 2).mean() > 0.9
    assert lost.sum(axis=(1, 2)).max() < 0.08 * 64 * 64
    assert normal[lost].mean() > 150, "contrast was there before"
    assert (change > 15).sum() < 0.1 * lost.sum(), "what little brightens is the kernel's overshoot"


def test_the_fourth_class_has_both_findings() -> None:
    normal, cancer, embolism, both = (of_label(label) for label in range(4))
    assert np.abs(both - cancer - embolism + normal)[np.abs(both - normal) > 40].mean() < 15


def test_splits_of_the_data_set_share_no_patient_and_hold_every_class() -> None:
    data = phantom(**SMALL).checked()
    assert {name: len(split) for name, split in data.splits.items()} == dict(
        zip(("train", "val", "test", "thief"), SMALL.values(), strict=True)
    )
    for split in data.splits.values():
        assert len(np.unique(split.labels)) == len(CLASS_NAMES)


def test_counts_that_cut_a_patient_short_still_share_no_patient() -> None:
    phantom(images_train=18, images_val=5, images_test=7, images_thief=3).checked()


def test_cache_returns_what_was_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = phantom(**SMALL, cache=tmp_path)
    monkeypatch.setattr(cohort_module, "render", lambda *_a, **_k: pytest.fail("rendered although cached"))
    again = phantom(**SMALL, cache=tmp_path)
    assert again.sha256 == first.sha256
    assert all(same(again.splits[name], first.splits[name]) for name in first.splits)


def test_cache_keeps_hospitals_seeds_and_sizes_apart(tmp_path: Path) -> None:
    phantom(**SMALL, cache=tmp_path)
    phantom(**SMALL, seed=1, cache=tmp_path)
    proxy = proxy_images(16, 0, cache=tmp_path)
    assert len(proxy_images(20, 0, cache=tmp_path)) == 20
    assert same(proxy_images(16, 0, cache=tmp_path), proxy)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut", "emptied", "flipped", "foreign"])
def test_torn_cache_is_made_anew(tmp_path: Path, damage: str) -> None:
    whole = proxy_images(16, 0, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "flipped":
        data[len(data) // 3] ^= 0xFF
        path.write_bytes(data)
    else:
        with path.open("wb") as stream:
            np.savez(stream, something=np.zeros(3))
    assert same(proxy_images(16, 0, cache=tmp_path), whole)
    assert same(proxy_images(16, 0, cache=tmp_path), whole), "and the cache is whole again"


@pytest.mark.parametrize(
    "wrong",
    [{"count": -1}, {"seed": -1}, {"first_patient": -4}, {"size": 63}, {"size": 8}, {"workers": 0}, {"hospital": "x"}],
)
def test_numbers_out_of_range_get_a_clear_error(wrong: dict[str, object]) -> None:
    settings: dict[str, object] = {"count": 4, "hospital": "victim", "seed": 0} | wrong
    with pytest.raises(UsageError):
        render(settings.pop("count"), settings.pop("hospital"), settings.pop("seed"), **settings)  # type: ignore[arg-type]


def test_no_images_are_no_error() -> None:
    assert len(render(0, "victim", 0)) == 0


def test_rendering_needs_no_torch() -> None:
    code = "import sys, victim.phantom as p; p.render(4, 'victim', 0); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_row_of_chance_that_is_too_short_is_noticed() -> None:
    chance = Chance(np.zeros((2, 3), np.float32))
    chance.uniforms(3)
    with pytest.raises(IndexError):
        chance.uniform()


def test_coloured_noise_keeps_its_deviation() -> None:
    noise = np.random.default_rng(0).standard_normal((64, 64, 33, 2), dtype=np.float32)
    assert field(noise, texture_spectrum(64)).std() == pytest.approx(1.0, rel=0.05)


def test_a_capsule_covers_the_area_it_has() -> None:
    one = np.ones(1, np.float32)
    grid = Grid(64, 16 * one, 0.3 * one, np.zeros((1, 2), np.float32))
    covered = grid.union(Capsules.of((one * -3, 1, 4, 2, 2.0))).sum() * float(grid.pixel[0]) ** 2
    assert covered == pytest.approx(np.pi * 4 + 4 * np.hypot(7, 1), rel=0.02)
