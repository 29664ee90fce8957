"""A model file and its manifest vouch for each other, or are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import ArtifactError, ExitCode
from foundation.files import sha256_bytes
from foundation.manifest import (
    Artifact,
    ImageSpec,
    Manifest,
    TensorSpec,
    check_format,
    load_artifact,
    manifest_path,
    save_manifest,
)

# What stands at bytes 4..8 of the formats; that the rest is a model is the runtime's to say.
TFLITE = b"\x1c\0\0\0TFL3" + bytes(range(200))
EXECUTORCH = b"\x38\0\0\0ET12" + bytes(range(200))


def manifest(content: bytes, **changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "name": "tflite_int8",
        "file": "model.tflite",
        "bytes": len(content),
        "sha256": sha256_bytes(content),
        "runtime": "tflite",
        "precision": "int8",
        "versions": {"torch": "2.13.0"},
        "recipe": "tflite_int8",
        "image": ImageSpec(height=16, width=20, channels=1, mean=(0.0,), std=(1.0,)),
        "input": TensorSpec(shape=(1, 16, 20, 1), dtype="int8", layout="nhwc", scale=1 / 255, zero_point=-128),
        "output": TensorSpec(shape=(1, 2), dtype="int8", layout="nc", scale=0.1, zero_point=3),
        "class_names": ("normal", "pulmonary embolism"),
        "victim_sha256": "0" * 64,
    }
    return Manifest.model_validate(fields | changes)


def saved(path: Path, content: bytes = TFLITE, **changes: Any) -> Artifact:
    path.write_bytes(content)
    return save_manifest(path, manifest(content, **changes))


def rewrite(artifact: Artifact, **changes: Any) -> None:
    document = json.loads(artifact.manifest_path.read_text())
    artifact.manifest_path.write_text(json.dumps(document | changes))


def test_a_manifest_comes_back_as_it_was_written(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite")
    assert load_artifact(artifact.path) == artifact
    assert artifact.manifest_path == tmp_path / "model.tflite.json"
    assert artifact.manifest.image.shape == (16, 20, 1)


def test_an_executorch_program_is_known_by_its_content(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.pte", EXECUTORCH, runtime="executorch", file="model.pte")
    assert load_artifact(artifact.path, "executorch") == artifact
    assert check_format(artifact.path, None) == "executorch"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model file .*model\.tflite") as caught:
        load_artifact(tmp_path / "model.tflite")
    assert caught.value.exit_code == ExitCode.DATA


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite")
    artifact.manifest_path.unlink()
    with pytest.raises(ArtifactError, match=r"has no manifest model\.tflite\.json"):
        load_artifact(artifact.path)


@pytest.mark.parametrize(
    "garbled", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"{}", b"[" * 100_000, b'{"schema_version": 1', b"\0" * 20]
)
def test_a_garbled_manifest_is_refused(tmp_path: Path, garbled: bytes) -> None:
    artifact = saved(tmp_path / "model.tflite")
    artifact.manifest_path.write_bytes(garbled)
    with pytest.raises(ArtifactError, match="cannot read manifest"):
        load_artifact(artifact.path)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"bytes": "many"}, "bytes"),
        ({"runtime": "onnx"}, "runtime"),
        ({"precision": None}, "precision"),
        ({"image": {"height": 0, "width": 8, "channels": 1, "mean": [0], "std": [1]}}, "image.height"),
        ({"image": {"height": 8, "width": 8, "channels": 3, "mean": [0], "std": [1]}}, "3 channels"),
        ({"image": {"height": 8, "width": 8, "channels": 1, "mean": [0], "std": [0]}}, "std"),
        ({"input": {"shape": [1], "dtype": "int4", "layout": "nc"}}, "input.dtype"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    artifact = saved(tmp_path / "model.tflite")
    rewrite(artifact, **changes)
    with pytest.raises(ArtifactError, match=field):
        load_artifact(artifact.path)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite")
    document = json.loads(artifact.manifest_path.read_text())
    del document["class_names"]
    artifact.manifest_path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="class_names"):
        load_artifact(artifact.path)


def test_a_manifest_of_another_schema_is_refused(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite")
    rewrite(artifact, schema_version=2)
    with pytest.raises(ArtifactError, match="schema version 2"):
        load_artifact(artifact.path)


@pytest.mark.parametrize("left", [0, 1, 7, 8, 100, len(TFLITE) - 1])
def test_a_torn_file_is_refused(tmp_path: Path, left: int) -> None:
    artifact = saved(tmp_path / "model.tflite")
    artifact.path.write_bytes(TFLITE[:left])
    with pytest.raises(ArtifactError, match="torn"):
        load_artifact(artifact.path)


def test_a_file_of_the_right_size_and_other_content_is_refused(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite")
    artifact.path.write_bytes(TFLITE[:-1] + b"x")
    with pytest.raises(ArtifactError, match="sha256"):
        load_artifact(artifact.path)


@pytest.mark.parametrize("with_manifest", [True, False])
def test_a_pte_under_a_tflite_s_name_is_called_a_pte(tmp_path: Path, with_manifest: bool) -> None:
    artifact = saved(tmp_path / "model.pte", EXECUTORCH, runtime="executorch")
    renamed = artifact.path.rename(tmp_path / "model.tflite")
    if with_manifest:
        artifact.manifest_path.rename(manifest_path(renamed))
    with pytest.raises(ArtifactError, match=r"holds a \.pte model where a \.tflite is meant"):
        load_artifact(renamed)


def test_a_file_of_another_runtime_than_asked_for_is_refused(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite")
    with pytest.raises(ArtifactError, match=r"holds a \.tflite model where a \.pte is meant"):
        load_artifact(artifact.path, "executorch")


def test_a_file_that_its_manifest_calls_another_runtime_s_is_refused(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite", runtime="executorch")
    with pytest.raises(ArtifactError, match=r"holds a \.tflite model where a \.pte is meant"):
        load_artifact(artifact.path)


def test_a_file_of_neither_format_is_refused(tmp_path: Path) -> None:
    artifact = saved(tmp_path / "model.tflite", b"PK\x03\x04" + bytes(100))
    with pytest.raises(ArtifactError, match=r"neither a \.tflite nor a \.pte"):
        load_artifact(artifact.path)
