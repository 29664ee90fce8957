"""Torn, changed, renamed, hostile files: one line, soon."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from export.inspection import Inspection, inspect_model
from foundation.errors import ArtifactError

if TYPE_CHECKING:
    from export.exporting import Exported

Exports = Callable[[str, int], "Exported"]

MUTATIONS = 200
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, kind: int, rng: np.random.Generator) -> bytes:
    """Cut off, bits flipped, words replaced by extremes, pieces copied elsewhere."""
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    changed = bytearray(data)
    places = rng.integers(8, len(data) - 64, int(rng.integers(1, 20)))
    for place in map(int, places):
        if kind == 1:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 2:
            struct.pack_into("<I", changed, place, int(rng.choice(EXTREMES)))
        else:
            source = int(rng.integers(len(data) - 64))
            changed[place : place + 32] = data[source : source + 32]
    return bytes(changed)


def outcome(path: Path) -> str:
    """`told` or `refused`; anything else fails, as does what takes long."""
    began = time.monotonic()
    found = told_or_why(path)
    assert time.monotonic() - began < 10
    if isinstance(found, ArtifactError):
        assert found.message.isprintable()
        return "refused"
    assert Inspection.model_validate_json(found.model_dump_json())
    return "told"


def told_or_why(path: Path) -> Inspection | ArtifactError:
    try:
        return inspect_model(path)
    except ArtifactError as error:
        return error


@pytest.mark.export
@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_int8", "executorch_portable"])
def test_a_changed_file_is_told_or_refused(exported: Exports, tmp_path: Path, recipe: str) -> None:
    original, rng = exported(recipe, 1).artifact.path.read_bytes(), np.random.default_rng(0)
    path = tmp_path / "changed"
    outcomes = []
    for number in range(MUTATIONS):
        path.write_bytes(mutated(original, number % 4, rng))
        outcomes.append(outcome(path))
    assert outcomes.count("refused") > MUTATIONS // 4
    assert "told" in outcomes


@pytest.mark.export
@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_int8"])
def test_a_file_cut_off_anywhere_is_refused(exported: Exports, tmp_path: Path, recipe: str) -> None:
    original = exported(recipe, 1).artifact.path.read_bytes()
    # Behind the last byte that means something there is padding.
    for kept in range(0, len(original) - 128, 97):
        (tmp_path / "cut").write_bytes(original[:kept])
        assert outcome(tmp_path / "cut") == "refused"


@pytest.mark.export
def test_a_file_under_the_other_s_name_is_refused(exported: Exports, tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(exported("executorch_int8", 1).artifact.path.read_bytes())
    with pytest.raises(ArtifactError, match=r"holds a \.pte model where a \.tflite is meant"):
        inspect_model(tmp_path / "model.tflite")


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\x03\x04" * 9, b"\x1c\x00\x00\x00TFL3", b"\xff\xff\xff\xffET12"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=re.escape(str(path))):
        inspect_model(path)


def test_a_directory_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.tflite"):
        with pytest.raises(ArtifactError, match="no model file"):
            inspect_model(path)


@pytest.mark.parametrize("field", ["tensors", "operators"])
def test_a_million_references_to_one_thing_end_soon(tmp_path: Path, field: str) -> None:
    path = tmp_path / "many.tflite"
    path.write_bytes(repeating(field, 1_000_000))
    with pytest.raises(ArtifactError, match="more parts than a model has"):
        inspect_model(path)
    path.write_bytes(repeating(field, 20_000))
    assert outcome(path) == "told"


def test_a_shape_that_no_tensor_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "wide.tflite").write_bytes(repeating("tensors", 1, shape=[2**31 - 1] * 5000))
    with pytest.raises(ArtifactError, match="5000 dimensions"):
        inspect_model(tmp_path / "wide.tflite")


@pytest.mark.export
def test_a_manifest_that_does_not_fit_is_a_warning(exported: Exports, tmp_path: Path) -> None:
    made = exported("tflite_int8", 1).artifact
    path = tmp_path / made.path.name
    path.write_bytes(made.path.read_bytes())
    manifest = tmp_path / made.manifest_path.name
    wrong = made.manifest.model_copy(update={"input": made.manifest.input.model_copy(update={"scale": 0.5})})
    manifest.write_text(wrong.model_dump_json())
    assert [one for one in inspect_model(path).warnings if "the manifest's input is not the file's" in one]
    manifest.write_text(made.manifest.model_copy(update={"sha256": "0" * 64}).model_dump_json())
    found = inspect_model(path)
    assert found.recipe is None
    assert [one for one in found.warnings if "sha256" in one]


def repeating(field: str, count: int, shape: list[int] | None = None) -> bytes:
    """A TFLite file whose one graph has so many references to one tensor, or one operator."""
    import flatbuffers

    builder = flatbuffers.Builder(8 * count)
    numbers = [builder.CreateNumpyVector(np.asarray(one, np.int32)) for one in (shape or [1], [0])]
    things = {}
    builder.StartObject(8)
    builder.PrependUOffsetTRelativeSlot(0, numbers[0], 0)
    things["tensors"] = builder.EndObject()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(1, numbers[1], 0)
    things["operators"] = builder.EndObject()
    vectors = {}
    for name, thing in things.items():
        many = count if name == field else 1
        builder.StartVector(4, many, 4)
        for _ in range(many):
            builder.PrependUOffsetTRelative(thing)
        vectors[name] = builder.EndVector()
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, vectors["tensors"], 0)
    builder.PrependUOffsetTRelativeSlot(3, vectors["operators"], 0)
    graph = builder.EndObject()
    builder.StartObject(4)
    code = builder.EndObject()
    lists = []
    for one in (graph, code):
        builder.StartVector(4, 1, 4)
        builder.PrependUOffsetTRelative(one)
        lists.append(builder.EndVector())
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(2, lists[0], 0)
    builder.PrependUOffsetTRelativeSlot(1, lists[1], 0)
    builder.Finish(builder.EndObject(), b"TFL3")
    return bytes(builder.Output())
