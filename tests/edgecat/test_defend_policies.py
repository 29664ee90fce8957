"""`edgecat defend policies` as a user meets it; what it measures is tested in `test_policies_stage.py`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from foundation.errors import ExitCode
from foundation.manifest import save_manifest

from .command_line import Ended

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]

NAMES = ("a", "b", "c", "d")
QUICK = ("--budget", "60", "--pool", "pd:20", "--seeds", "1", "--thief", "plain", "--effort", "0.02", "--size", "16")


@pytest.fixture(scope="module")
def place(exported: Callable[[str, int], Exported], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four classes and a folder of pictures of them; they need not fit well."""
    folder = tmp_path_factory.mktemp("policies")
    artifact = exported("tflite_int8", 1).artifact
    model = folder / artifact.path.name
    shutil.copyfile(artifact.path, model)
    save_manifest(model, artifact.manifest.model_copy(update={"class_names": NAMES}))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 40, 16, 16), np.uint8)
    for name, images in zip(NAMES, pictures, strict=True):
        (folder / "pictures" / name).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / "pictures" / name / f"{number}.png")
    return folder


@pytest.fixture
def defend(edgecat_here: Callable[..., Ended], place: Path) -> Callable[..., Ended]:
    def call(*words: object) -> Ended:
        model = next(place.glob("*.tflite"))
        return edgecat_here("defend", "policies", model, "--data", place / "pictures", *QUICK, *words)

    return call


def test_the_table_has_a_line_for_each_policy(defend: Callable[..., Ended]) -> None:
    ended = defend("--policy", "confident:1", "--policy", "round:1")
    assert ended.code == ExitCode.DONE, ended.stderr
    heads, *lines, _, told = ended.stdout.splitlines()
    assert heads.split()[:4] == ["policy", "where", "accuracy", "refused"]
    assert [line.split()[:2] for line in lines] == [["confident:1", "device"], ["round:1", "device"]]
    assert "60 queries (pd:20, amplify)" in told


def test_json_is_the_whole_report(defend: Callable[..., Ended], tmp_path: Path) -> None:
    document = defend("--policy", "noise:0.10", "--json", "--out", tmp_path / "kept").document()
    assert (document["budget"], document["pool"], document["device_kind"]) == (60, "pd:20", "embedded")
    (result,) = document["results"]
    assert result["policy"] == "noise:0.1"
    assert len(result["utility"]["predictions"]) == len(document["truth"])
    assert [thief["learns"] for thief in result["thieves"]] == ["labels", "scores"]
    assert len(list((tmp_path / "kept").glob("*.sqlite"))) == 1


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--policy", "noise:7"), ExitCode.USAGE, "unknown answer policy 'noise:7'"),
        (("--policy", "mad:3"), ExitCode.USAGE, "unknown defence 'mad:3'"),
        (("--policy", "topk:9"), ExitCode.USAGE, "more than the 4 classes"),
        (("--budget", "10,20"), ExitCode.USAGE, "one budget"),
        (("--strategy", "datafree", "--pool", "none"), ExitCode.USAGE, "datafree"),
        (("--pool", "proxy"), ExitCode.USAGE, "proxy"),
        (("--learner", "by-heart"), ExitCode.USAGE, "learner"),
        (("--out", "/dev/null/kept"), ExitCode.USAGE, "cannot make"),
    ],
    ids=lambda value: "-".join(value).replace("/", " ") if isinstance(value, tuple) else "",
)
def test_settings_that_cannot_work_are_one_line(
    defend: Callable[..., Ended], words: tuple[str, ...], code: ExitCode, told: str
) -> None:
    assert told in defend(*words).refusal(code)
