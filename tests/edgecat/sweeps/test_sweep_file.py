"""What SWEEP.toml asks for, and what is refused before anything is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecat.sweeps.jobs import Job, find_jobs
from edgecat.sweeps.sweep_file import Point, read_sweep
from foundation.errors import DataError, UsageError

pytestmark = pytest.mark.timeout(60)


def points(directory: Path, text: str) -> list[Point]:
    file = directory / "sweep.toml"
    file.write_text(text)
    return read_sweep(file)


def jobs(directory: Path, text: str) -> list[Job]:
    return find_jobs(points(directory, text))


def test_a_grid_is_every_combination_the_last_axis_fastest(tmp_path: Path) -> None:
    found = points(tmp_path, '[settings]\nquick = true\n[grid]\nseed = [3, 1]\npools = ["npd", "pd:7"]\n')
    assert [(p.settings.seed, p.settings.pools) for p in found] == [
        (3, ("npd",)),
        (3, ("pd:7",)),
        (1, ("npd",)),
        (1, ("pd:7",)),
    ]
    assert all(p.settings.quick for p in found)


def test_a_value_of_several_words_is_one_or_those_that_go_together(tmp_path: Path) -> None:
    found = points(tmp_path, '[grid]\nbudgets = [250, [100, 200]]\nrecipes = [["tflite_int8", "tflite_fp32"]]\n')
    assert [p.settings.budgets for p in found] == [(250,), (100, 200)]
    assert {p.settings.recipes for p in found} == {("tflite_int8", "tflite_fp32")}


def test_several_grids_follow_each_other(tmp_path: Path) -> None:
    found = points(tmp_path, '[[grid]]\nseed = [1]\n[[grid]]\npools = ["npd"]\nseed = [2]\n')
    assert [(p.settings.seed, p.settings.pools) for p in found] == [(1, ()), (2, ("npd",))]


def test_equal_devices_stand_for_each_other(tmp_path: Path) -> None:
    (counted, listed) = points(tmp_path, '[grid]\ndevices = ["embedded*3", ["serial:B", "serial:A"]]\n')
    assert [d.name for d in counted.pool.devices] == ["embedded#1", "embedded#2", "embedded#3"]
    assert {d.spec for d in counted.pool.devices} == {"embedded"}
    assert [d.name for d in listed.pool.devices] == ["serial:B", "serial:A"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[settings]\ncolour = "red"\n[grid]\nseed = [1]\n', "colour"),
        ("[grid]\ncolour = [1]\n", "colour"),
        ("colour = 1\n[grid]\nseed = [1]\n", "colour"),
        ('[grid]\npools = ["npdd"]\n', "npdd"),
        ('[grid]\npools = ["npd+pdd:3"]\n', "pdd:3"),
        ('[grid]\nstrategies = ["luck"]\n', "luck"),
        ('[grid]\nlearner = ["luck"]\n', "luck"),
        ('[grid]\nrecipes = ["tflite_int9"]\n', "tflite_int9"),
        ('[grid]\ndata = ["nowhere.npz"]\n', "nowhere.npz"),
        ("[grid]\npools = []\n", "no job"),
        ("[settings]\nquick = true\n", "no table grid"),
        ("grid = []\n", "no job"),
        ("[grid]\nseed = 1\n", "axis seed"),
        ('[grid]\nseed = ["x"]\n', "seed"),
        ('[grid]\ndevice = ["embedded"]\n', "devices"),
        ('[grid]\ndevices = ["gadget"]\n', "gadget"),
        ('[grid]\ndevices = ["serial:A*2"]\n', "serial:A"),
        ('[grid]\ndevices = ["embedded*0"]\n', "0 devices"),
        ("[grid]\ndevices = [[]]\n", "no devices"),
        (f"[grid]\nseed = {list(range(400))}\nthief_seed = {list(range(400))}\n", "160,000 jobs"),
        ("[grid", "not TOML"),
        ("", "no table grid"),
    ],
)
def test_what_cannot_work_is_told_with_the_files_name(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        points(tmp_path, text)
    assert told in caught.value.message
    assert "sweep.toml" in caught.value.message


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.toml"):
        read_sweep(tmp_path / "gone.toml")


# --- what a job means


def test_the_same_job_twice_is_one(tmp_path: Path) -> None:
    twice = '[[grid]]\nseed = [1, 1]\npools = ["npd"]\n[[grid]]\npools = ["npd"]\nseed = [1]\n'
    assert len(jobs(tmp_path, twice)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('recipes = ["tflite_int8"]', 'precisions = ["int8"]\nruntimes = ["tflite"]'),
        ('recipes = ["tflite_int8"]', 'recipes = ["tflite_int8"]\ntargets = ["tflite_int8"]'),
        ("seed = [2]", "seed = [2]\nthief_seed = [2]"),
        ('devices = ["embedded"]', 'devices = ["embedded*5"]'),
        ('devices = [["serial:A", "serial:B"]]', 'devices = [["serial:B", "serial:A"]]'),
    ],
)
def test_what_is_only_spelt_otherwise_is_the_same_job(tmp_path: Path, one: str, other: str) -> None:
    assert jobs(tmp_path, f"[grid]\n{one}\n")[0].key == jobs(tmp_path, f"[grid]\n{other}\n")[0].key


@pytest.mark.parametrize(
    "other",
    ["thief_seed = [1]", "effort = [0.5]", 'answers = ["scores"]', 'recipes = ["tflite_fp32"]', 'devices = ["serial"]'],
)
def test_another_setting_is_another_job_of_the_same_victim(tmp_path: Path, other: str) -> None:
    plain, changed = jobs(tmp_path, "[grid]\nseed = [0]\n")[0], jobs(tmp_path, f"[grid]\n{other}\n")[0]
    assert plain.key != changed.key
    assert plain.victim == changed.victim


@pytest.mark.parametrize("other", ["seed = [1]", "epochs = [3]", 'architecture = ["plain"]'])
def test_another_victim_is_trained_apart(tmp_path: Path, other: str) -> None:
    assert jobs(tmp_path, "[grid]\nseed = [0]\n")[0].victim != jobs(tmp_path, f"[grid]\n{other}\n")[0].victim


def test_changed_data_under_an_old_path_are_other_jobs(tmp_path: Path) -> None:
    data, pool = tmp_path / "a.npz", tmp_path / "pool"
    pool.mkdir()
    text = f'[settings]\ndata = "{data}"\n[grid]\npools = ["{pool}"]\n'
    seen = set()
    for first, second in (("a", "b"), ("c", "b"), ("c", "d")):
        data.write_text(first)
        (pool / "image.png").write_text(second)
        seen.add(jobs(tmp_path, text)[0].key)
    assert len(seen) == 3


def test_the_same_data_under_another_path_are_the_same_job(tmp_path: Path) -> None:
    keys = set()
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).write_text("content")
        keys.add(jobs(tmp_path, f'[grid]\ndata = ["{tmp_path / name}"]\n')[0].key)
    assert len(keys) == 1
