"""Queried images on disk: whole or absent, by answer, under any name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecat.stages.queried import load_queried, save_queried
from foundation.errors import DataError

IMAGES = np.arange(12, dtype=np.uint8).reshape(12, 1, 1, 1)
ANSWERS = np.array([0] * 7 + [2] * 5)


def test_the_first_images_of_each_answer_are_kept(tmp_path: Path) -> None:
    save_queried(tmp_path, "npd", "random", 3, IMAGES, ANSWERS, per_answer=2)
    [found] = load_queried(tmp_path)
    assert (found.pool, found.strategy, found.seed) == ("npd", "random", 3)
    assert found.images.ravel().tolist() == [0, 1, 7, 8]
    assert found.answers.tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize("pool", ["pd:100", "../../elsewhere", "a/b", "npd+pd:100", "", ".", "x" * 300, "肺 癌\n"])
def test_any_pool_has_a_file_in_its_own_place_and_keeps_its_name(tmp_path: Path, pool: str) -> None:
    path = save_queried(tmp_path, pool, "amplify:kcenter", 0, IMAGES, ANSWERS)
    assert path.parent == tmp_path / "queried"
    assert [found.pool for found in load_queried(tmp_path)] == [pool]


def test_pools_whose_names_look_alike_on_disk_stay_apart(tmp_path: Path) -> None:
    for pool in ("a/b", "a:b", "a-b"):
        save_queried(tmp_path, pool, "random", 0, IMAGES, ANSWERS)
    assert {found.pool for found in load_queried(tmp_path)} == {"a/b", "a:b", "a-b"}


def test_the_same_thief_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    for answers in (ANSWERS, np.zeros(12, np.int64)):
        save_queried(tmp_path, "npd", "random", 0, IMAGES, answers)
    [found] = load_queried(tmp_path)
    assert found.answers.tolist() == [0] * 8
    assert [path.suffix for path in (tmp_path / "queried").iterdir()] == [".npz"]


def test_no_directory_and_no_queries_are_no_error(tmp_path: Path) -> None:
    assert load_queried(tmp_path) == []
    save_queried(tmp_path, "npd", "random", 0, IMAGES[:0], ANSWERS[:0])
    [found] = load_queried(tmp_path)
    assert len(found.images) == 0


def test_an_answer_for_each_image_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="12 queried images but 3 answers"):
        save_queried(tmp_path, "npd", "random", 0, IMAGES, ANSWERS[:3])


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04torn"])
def test_a_file_that_is_no_queried_images_is_told_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "queried").mkdir()
    (tmp_path / "queried" / "npd_random_0.npz").write_bytes(content)
    with pytest.raises(DataError, match="npd_random_0"):
        load_queried(tmp_path)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / "queried").mkdir()
    objects = np.array([{"no": "code"}], dtype=object)
    np.savez(tmp_path / "queried" / "x.npz", images=objects, answers=ANSWERS, pool="p", strategy="s", seed=0)
    with pytest.raises(DataError, match=r"x\.npz"):
        load_queried(tmp_path)
