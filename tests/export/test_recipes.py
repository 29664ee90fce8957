"""Recipes are data: named by what they do, chosen by runtime and precision."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from export.recipes import RECIPES, STANDARD, UNSUPPORTED, Recipe, find_recipe, load_recipes, select_recipes
from foundation.errors import DataError, ExitCode, UsageError


def test_names_say_runtime_and_precision() -> None:
    for name, recipe in RECIPES.items():
        assert name == recipe.name
        assert name.startswith(recipe.runtime)
        assert (recipe.calibration_images > 0) == (recipe.method in ("pt2e", "qat", "aeq"))
        assert find_recipe(name) is recipe
        assert name not in UNSUPPORTED
    for runtime, method in (("tflite", "aeq"), ("tflite", "weights"), ("executorch", "dynamic"), ("executorch", "qat")):
        assert any((recipe.runtime, recipe.method) == (runtime, method) for recipe in RECIPES.values())


def test_the_standard_ones_are_float_and_int8_of_both_runtimes() -> None:
    assert list(STANDARD) == ["tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8"]
    assert all(
        find_recipe(name).name == f"{find_recipe(name).runtime}_{find_recipe(name).precision}" for name in STANDARD
    )


def test_a_file_is_named_by_its_recipe_and_its_format() -> None:
    assert [find_recipe(name).file_name for name in STANDARD] == [
        "tflite_fp32.tflite",
        "tflite_int8.tflite",
        "executorch_fp32.pte",
        "executorch_int8.pte",
    ]


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_a_runtime_does_not_have_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} is not supported: ") as caught:
        find_recipe(name)
    assert UNSUPPORTED[name] in caught.value.message


def test_every_recipe_goes_through_json_and_back() -> None:
    for recipe in RECIPES.values():
        assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "fp16"}, "method pt2e makes int8, not fp16"),
        ({"method": "aeq", "runtime": "executorch"}, "for tflite alone"),
        ({"calibration_images": 0}, "0 calibration images"),
        ({"epochs": 3}, "3 epochs"),
        ({"delegated": False}, "portable"),
        ({"runtime": "executorch", "float_io": True}, "float_io"),
        ({"name": "../up"}, "file's name"),
        ({"colour": "red"}, "colour"),
        ({"float_layers": ("head",)}, "float_layers are a choice of"),
        ({"min_agreement": 2}, "min_agreement"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Recipe.model_validate(find_recipe("tflite_int8").model_dump() | changes)


def test_recipes_of_one_s_own_come_from_a_file(tmp_path: Path) -> None:
    place = tmp_path / "mine.toml"
    place.write_text(
        """
        [careful]
        like = "tflite_int8"
        calibration_images = 256
        min_agreement = 0.99
        [bare]
        runtime = "executorch"
        precision = "fp32"
        method = "float"
        min_agreement = 1.0
        max_relative_rms = 0.5
        """
    )
    own = load_recipes(place)
    assert own["careful"] == RECIPES["tflite_int8"].model_copy(
        update={"name": "careful", "calibration_images": 256, "min_agreement": 0.99}
    )
    assert find_recipe("bare", own).delegated
    assert find_recipe("tflite_fp16", own) is RECIPES["tflite_fp16"]
    with pytest.raises(UsageError, match=r"known: .*careful"):
        find_recipe("careless", own)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a", "is not TOML"),
        ("a = 3", "a is not a table"),
        ('[a]\nlike = "tflite_int3"', "unknown recipe 'tflite_int3'"),
        ('[a]\nlike = "executorch_int16x8"', "not supported"),
        ('[a]\nlike = "tflite_int8"\ncalibration_images = "many"', "recipe a: calibration_images"),
        ('[a]\nruntime = "tflite"', "recipe a: precision: Field required"),
    ],
)
def test_a_spoilt_file_of_recipes_is_a_usage_error(tmp_path: Path, text: str, words: str) -> None:
    place = tmp_path / "mine.toml"
    place.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_recipes(place)
    with pytest.raises(DataError, match="No such file"):
        load_recipes(tmp_path / "other.toml")


@pytest.mark.parametrize("name", ["", "tflite", "int8", "tflite_int4", "TFLITE_INT8"])
def test_an_unknown_recipe_is_a_usage_error_that_names_the_known(name: str) -> None:
    with pytest.raises(UsageError, match=r"unknown recipe .*tflite_fp32, tflite_int8") as caught:
        find_recipe(name)
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("runtimes", "precisions", "names"),
    [
        ((), (), "tflite_fp32 tflite_int8 executorch_fp32 executorch_int8"),
        (("tflite",), (), "tflite_fp32 tflite_int8"),
        ((), ("int8",), "tflite_int8 executorch_int8"),
        (("executorch",), ("fp32",), "executorch_fp32"),
        (("executorch", "tflite"), ("int8",), "tflite_int8 executorch_int8"),
        ((), ("fp16",), "tflite_fp16 executorch_fp16"),
    ],
)
def test_recipes_are_chosen_by_runtime_and_precision(
    runtimes: tuple[str, ...], precisions: tuple[str, ...], names: str
) -> None:
    assert [recipe.name for recipe in select_recipes(runtimes, precisions)] == names.split()


@pytest.mark.parametrize(
    ("runtimes", "precisions", "words"),
    [
        (("onnx",), (), "unknown runtime 'onnx'"),
        ((), ("int4",), "unknown precision 'int4'"),
        (("executorch",), ("int16x8",), "not supported"),
    ],
)
def test_an_unknown_runtime_or_precision_is_a_usage_error(
    runtimes: tuple[str, ...], precisions: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        select_recipes(runtimes, precisions)


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        find_recipe("tflite_int8").min_agreement = 0.0  # type: ignore[misc]
