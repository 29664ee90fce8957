"""Pools: what the thief may hold, and clear words where it may not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from victims_in_process import numbered_images

from attack.ledger import image_hash
from attack.pools import Pool, find_pool, find_pools
from foundation.errors import DataError, EdgecatError, ExitCode, UsageError
from victim.dataset import Dataset

pytestmark = pytest.mark.timeout(60)


def everything(pool: Pool) -> NDArray[np.uint8]:
    assert pool.size is not None
    return pool.take(np.arange(pool.size))


def hashes(images: NDArray[np.uint8]) -> set[bytes]:
    return {image_hash(image) for image in images}


@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_the_problem_domain_pool_is_disjoint_from_train_val_and_test(dataset: Dataset, seed: int) -> None:
    pool = find_pool("pd:150", dataset, seed)
    held = hashes(everything(pool))
    assert len(held) == pool.size == 150
    assert held <= hashes(dataset.thief.images)
    for split in (dataset.train, dataset.val, dataset.test):
        assert not held & hashes(split.images)


def test_every_thief_holds_images_of_its_own_and_always_the_same(dataset: Dataset) -> None:
    first, second = (everything(find_pool("pd:50", dataset, seed)) for seed in (0, 1))
    assert np.array_equal(first, everything(find_pool("pd:50", dataset, 0)))
    assert hashes(first) != hashes(second)


def test_a_larger_problem_domain_pool_contains_the_smaller(dataset: Dataset) -> None:
    assert hashes(everything(find_pool("pd:20", dataset, 3))) < hashes(everything(find_pool("pd:60", dataset, 3)))


def test_all_of_the_thief_s_split_may_be_held(dataset: Dataset) -> None:
    assert hashes(everything(find_pool("pd:200", dataset, 0))) == hashes(dataset.thief.images)


def test_more_than_the_thief_s_split_is_a_data_error(dataset: Dataset) -> None:
    with pytest.raises(DataError, match="only 200 images") as caught:
        find_pool("pd:201", dataset, 0)
    assert caught.value.exit_code == ExitCode.DATA


@pytest.mark.parametrize("name", ["pd:0", "pd:", "pd:-3", "pd:1.5", "pd:many", "pd:²", "pd:" + "9" * 5000, "pd: 7"])
def test_a_problem_domain_pool_takes_a_whole_number(dataset: Dataset, name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown pool") as caught:
        find_pool(name, dataset, 0)
    assert "pd:100" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["", "nope", "NPD", "no/such/folder", "no-such.npz"])
def test_an_unknown_pool_is_wrong_usage(dataset: Dataset, name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown pool") as caught:
        find_pool(name or str(tmp_path / "gone"), dataset, 0)
    assert caught.value.exit_code == ExitCode.USAGE


def test_no_proxy_without_a_second_hospital(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="no second hospital"):
        find_pool("proxy", dataset, 0)


def test_the_proxy_holds_what_the_other_hospital_gives(dataset: Dataset) -> None:
    images = numbered_images(32, 900)
    pool = find_pool("proxy", dataset, 0, lambda: images)
    assert np.array_equal(everything(pool), images)
    assert pool.origin(5) == "proxy"


def test_a_proxy_of_another_shape_is_told_with_both_shapes(dataset: Dataset) -> None:
    with pytest.raises(DataError, match=r"\(8, 8, 3\).*\(16, 16, 1\)"):
        find_pool("proxy", dataset, 0, lambda: numbered_images(4, 0, (8, 8, 3)))


def test_procedural_images_do_not_end_and_fit_the_victim(dataset: Dataset) -> None:
    pool = find_pool("npd", dataset, 4)
    assert pool.size is None
    rows = np.array([700, 3, 900, 3], np.int64)
    images = pool.take(rows)
    assert images.shape == (4, *dataset.image_shape)
    assert np.array_equal(images[1], images[3])
    assert np.array_equal(pool.take(rows[2:3])[0], images[2])
    assert pool.origin(3).startswith("npd/")


def test_procedural_images_differ_by_thief(dataset: Dataset) -> None:
    rows = np.arange(20)
    one, other = (hashes(find_pool("npd", dataset, seed).take(rows)) for seed in (0, 1))
    assert not one & other


def test_a_folder_is_a_pool_in_the_order_of_its_paths(dataset: Dataset, tmp_path: Path) -> None:
    images = numbered_images(3, 500)
    for name, image in zip(("b.png", "a/z.png", "c.png"), images, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(image[..., 0]).save(tmp_path / name)
    pool = find_pool(str(tmp_path), dataset, 0)
    assert hashes(everything(pool)) == hashes(images)
    assert np.array_equal(everything(pool), images[[1, 0, 2]])
    assert pool.origin(0) == str(tmp_path)


def test_pictures_of_other_sizes_and_colours_are_made_to_fit_if_asked(dataset: Dataset, tmp_path: Path) -> None:
    Image.fromarray(np.full((40, 70, 3), (30, 60, 90), np.uint8)).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match=r"wide\.png is an image 40 x 70 x 3, the victim takes 16 x 16 x 1") as caught:
        find_pool(str(tmp_path), dataset, 0)
    assert "--resize" in (caught.value.hint or "")
    images = everything(find_pool(str(tmp_path), dataset, 0, resize=True))
    assert images.shape == (1, 16, 16, 1)
    assert np.abs(images.astype(int) - 60).max() <= 1


def test_an_npz_of_other_size_and_channels_is_made_to_fit_if_asked(dataset: Dataset, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", images=np.full((3, 32, 48, 3), (30, 60, 90), np.uint8))
    with pytest.raises(DataError, match="32, 48, 3"):
        find_pool(str(tmp_path / "wide.npz"), dataset, 0)
    images = everything(find_pool(str(tmp_path / "wide.npz"), dataset, 0, resize=True))
    assert images.shape == (3, 16, 16, 1)
    assert np.abs(images.astype(int) - 60).max() <= 1


def test_pools_joined_by_plus_are_parts(dataset: Dataset) -> None:
    assert [(pool.name, pool.size) for pool in find_pools("npd+pd:5", dataset, 0)] == [("npd", None), ("pd:5", 5)]
    with pytest.raises(UsageError, match="unknown pool 'mars'"):
        find_pools("npd+mars", dataset, 0)


def test_an_npz_is_a_pool(dataset: Dataset, tmp_path: Path) -> None:
    images = numbered_images(9, 300)
    np.savez(tmp_path / "mine.npz", test_images=images[:4, :, :, 0], train_images=images[4:], labels=np.zeros(9))
    pool = find_pool(str(tmp_path / "mine.npz"), dataset, 0)
    assert pool.size == 9
    assert hashes(everything(pool)) == hashes(images)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.zeros((3, 8, 8), np.uint8)}, r"\(8, 8, 1\).*takes uint8 \(16, 16, 1\)"),
        ({"images": np.zeros((3, 16, 16, 3), np.uint8)}, r"\(16, 16, 3\)"),
        ({"images": np.full((3, 16, 16), np.nan, np.float32)}, "uint8"),
        ({"images": np.zeros((0, 16, 16), np.uint8)}, "no image"),
        ({"pictures": np.zeros((3, 16, 16), np.uint8)}, "ends in 'images'"),
    ],
    ids=["small", "colour", "nan", "empty", "no images"],
)
def test_an_npz_that_does_not_fit_is_a_data_error(
    dataset: Dataset, tmp_path: Path, arrays: dict[str, NDArray[np.uint8]], words: str
) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(DataError, match=words):
        find_pool(str(tmp_path / "mine.npz"), dataset, 0)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x89PNG\r\n\x1a\n...", b"just text"])
def test_a_file_that_is_no_npz_is_told_by_name(dataset: Dataset, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.npz").write_bytes(content)
    with pytest.raises(EdgecatError, match=r"mine\.npz") as caught:
        find_pool(str(tmp_path / "mine.npz"), dataset, 0)
    assert caught.value.exit_code == ExitCode.DATA


def test_an_empty_folder_is_told(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture"):
        find_pool(str(tmp_path), dataset, 0)
