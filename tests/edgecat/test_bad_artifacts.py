"""Model files and checkpoints that are torn, foreign or of the wrong kind: one line, exit code 4."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from foundation.files import sha256_file
from foundation.manifest import load_artifact, manifest_path, save_manifest

from .command_line import CommandLine, Ended
from .conftest import Walked

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(120, func_only=True)]


@dataclass(frozen=True)
class Spoilt:
    """A copy of a model and its manifest, to be spoilt."""

    path: Path

    def cut(self, kept: float) -> None:
        """Keep the first share of the file."""
        content = self.path.read_bytes()
        self.path.write_bytes(content[: int(len(content) * kept)])

    def describe(self, **changes: object) -> None:
        """Make the manifest say what the file is now, and `changes`: nobody but the runtime can tell then."""
        place = manifest_path(self.path)
        truth = {"bytes": self.path.stat().st_size, "sha256": sha256_file(self.path)}
        place.write_text(json.dumps(json.loads(place.read_text()) | truth | changes))


def copied(model: Path, place: Path) -> Spoilt:
    shutil.copy(model, place)
    save_manifest(place, load_artifact(model).manifest)
    return Spoilt(place)


@pytest.fixture(params=["tflite", "pte"])
def spoilt(request: pytest.FixtureRequest, tmp_path: Path) -> Spoilt:
    name = "model" if request.param == "tflite" else "program"
    return copied(request.getfixturevalue(name), tmp_path / f"spoilt.{request.param}")


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_torn_model_is_told_before_a_device_is_opened(edgecat: CommandLine, spoilt: Spoilt, kept: float) -> None:
    spoilt.cut(kept)
    assert "torn" in edgecat("push", spoilt.path, "--device", "serial:NOSUCH").refusal(4)


def test_a_changed_model_is_told_before_a_device_is_opened(edgecat: CommandLine, spoilt: Spoilt) -> None:
    content = bytearray(spoilt.path.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.path.write_bytes(content)
    assert "sha256" in edgecat("push", spoilt.path, "--device", "serial:NOSUCH").refusal(4)


def test_a_torn_model_whose_manifest_agrees_is_refused_by_the_runtime(edgecat: CommandLine, spoilt: Spoilt) -> None:
    spoilt.cut(0.5)
    spoilt.describe()
    assert "refuses the model" in edgecat("bench", spoilt.path).refusal(4)


def test_a_pte_where_a_tflite_is_meant_is_told(edgecat: CommandLine, program: Path, tmp_path: Path) -> None:
    renamed = copied(program, tmp_path / "renamed.tflite")
    told = edgecat("push", renamed.path).refusal(4)
    assert "holds a .pte model where a .tflite is meant" in told


def test_a_pte_whose_manifest_says_tflite_is_told(edgecat: CommandLine, program: Path, tmp_path: Path) -> None:
    for suffix in ("pte", "bin"):
        lying = copied(program, tmp_path / f"lying.{suffix}")
        lying.describe(runtime="tflite")
        assert "holds a .pte model" in edgecat("push", lying.path).refusal(4)


def test_a_model_without_a_manifest_or_with_a_foreign_one_is_told(
    edgecat: CommandLine, model: Path, tmp_path: Path
) -> None:
    assert "no model file" in edgecat("push", tmp_path / "absent.tflite").refusal(4)
    alone = copied(model, tmp_path / "alone.tflite")
    manifest = manifest_path(alone.path)
    for content, said in (("{", "cannot read manifest"), ('{"name": "x"}', "cannot read manifest")):
        manifest.write_text(content)
        assert said in edgecat("push", alone.path).refusal(4)
    manifest.unlink()
    assert "no manifest" in edgecat("push", alone.path).refusal(4)


def test_a_text_file_is_no_model(edgecat: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "notes.tflite").write_text("this is no model at all")
    assert "neither" in edgecat("push", tmp_path / "notes.tflite").refusal(4)


def test_a_manifest_that_promises_another_shape_is_refused(edgecat: CommandLine, model: Path, tmp_path: Path) -> None:
    lying = copied(model, tmp_path / "lying.tflite")
    image = json.loads(manifest_path(lying.path).read_text())["image"]
    lying.describe(image=image | {"height": 64})
    assert "refuses the model" in edgecat("bench", lying.path).refusal(4)


@pytest.mark.parametrize("kept", [0, 100, -100])
def test_a_torn_checkpoint_is_told(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path, kept: int
) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(walked.checkpoint.read_bytes()[:kept])
    assert "torn" in edgecat_here("export", torn, "--data", data, "--out", tmp_path / "made").refusal(4)
    assert not (tmp_path / "made").exists()


def test_a_foreign_checkpoint_is_told(edgecat_here: Callable[..., Ended], data: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    foreign = tmp_path / "foreign.safetensors"
    save_file({"weight": np.zeros(3, np.float32)}, foreign)
    assert "not a checkpoint of ours" in edgecat_here("export", foreign, "--data", data).refusal(4)
    assert "no checkpoint" in edgecat_here("export", tmp_path / "absent", "--data", data).refusal(4)


def test_a_checkpoint_of_other_data_is_told(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path
) -> None:
    """Another seed deals the images anew: what was held out then was perhaps trained on."""
    told = edgecat_here("export", walked.checkpoint, "--data", data, "--seed", "1", "--out", tmp_path).refusal(4)
    assert "was trained on" in told
    assert "seed" in told


def test_a_place_for_exports_that_cannot_be_written_is_wrong_usage(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    ended = edgecat_here("export", walked.checkpoint, "--data", data, "--out", tmp_path / "file" / "below")
    assert "cannot write" in ended.refusal(2)
