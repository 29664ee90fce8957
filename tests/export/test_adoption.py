"""Files that somebody else made: looked at, copied, given a manifest; or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.runner.engines.flatbuffer import demand_whole
from export.adoption import adopt
from export.parity import runtime_logits
from export.probe import probe
from foundation.errors import ArtifactError, UsageError
from foundation.manifest import load_artifact

if TYPE_CHECKING:
    from export.exporting import Exported, Source

pytestmark = pytest.mark.export

Exports = Callable[[str, int], "Exported"]
SHAPE, CLASSES = (16, 16, 1), ("0", "1", "2", "3")


@pytest.fixture
def bare(exported: Exports, tmp_path: Path) -> Callable[[str], Path]:
    """A file of a recipe without its manifest, under another name."""

    def copied(recipe: str) -> Path:
        original = exported(recipe, 1).artifact.path
        return Path(shutil.copyfile(original, tmp_path / f"theirs{original.suffix}"))

    return copied


@pytest.mark.parametrize("recipe", ["tflite_int8", "tflite_fp32", "executorch_int8"])
def test_a_ready_file_answers_as_it_did(
    bare: Callable[[str], Path], exported: Exports, source_of: Callable[[int], Source], tmp_path: Path, recipe: str
) -> None:
    taken, original = adopt(bare(recipe), SHAPE, CLASSES, tmp_path / "taken"), exported(recipe, 1)
    assert load_artifact(taken.path) == taken
    manifest, known = taken.manifest, original.artifact.manifest
    assert (manifest.name, manifest.precision, manifest.recipe) == ("theirs", "unknown", "ready")
    assert (manifest.input, manifest.output) == (known.input, known.output)
    assert manifest.sha256 == manifest.victim_sha256 == known.sha256
    images = source_of(1).unseen[:20]
    np.testing.assert_array_equal(runtime_logits(taken, images), original.logits[:20])


def test_a_file_is_taken_where_it_stands(bare: Callable[[str], Path]) -> None:
    path = bare("tflite_fp32")
    assert adopt(path, SHAPE, CLASSES, path.parent, mean=(0.5,), std=(0.25,)).path == path
    assert load_artifact(path).manifest.image.mean == (0.5,)


def test_what_does_not_fit_the_data_is_refused(bare: Callable[[str], Path], tmp_path: Path) -> None:
    path, out = bare("tflite_fp32"), tmp_path / "taken"
    with pytest.raises(ArtifactError, match="gives 4 logits, the data have 3 classes"):
        adopt(path, SHAPE, CLASSES[:3], out)
    with pytest.raises(ArtifactError, match=r"takes \(1, 16, 16, 1\), the data's images are 32 x 32 x 1"):
        adopt(path, (32, 32, 1), CLASSES, out)
    with pytest.raises(UsageError, match="2 numbers of mean for 1 channels"):
        adopt(path, SHAPE, CLASSES, out, mean=(0.0, 0.0))
    assert not out.exists()


@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_fp32"])
def test_spoilt_files_are_refused_and_end_no_process_of_ours(
    bare: Callable[[str], Path], tmp_path: Path, recipe: str
) -> None:
    path = bare(recipe)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], whole[:8] + b"\xff" * (len(whole) - 8), b"neither"):
        path.write_bytes(data)
        with pytest.raises(ArtifactError) as caught:
            adopt(path, SHAPE, CLASSES, tmp_path / "taken")
        assert "\n" not in caught.value.message
    with pytest.raises(ArtifactError, match="no model file"):
        probe(tmp_path / "absent.tflite")


def test_our_own_rewriting_leaves_whole_files(exported: Exports) -> None:
    demand_whole(exported("tflite_int8_float_io", 1).artifact.path.read_bytes())
