"""Recipes are data: named by what they do, chosen by runtime and precision."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from export.recipes import RECIPES, find_recipe, select_recipes
from foundation.errors import ExitCode, UsageError


def test_the_four_recipes() -> None:
    assert list(RECIPES) == ["tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8"]
    for name, recipe in RECIPES.items():
        assert name == recipe.name == f"{recipe.runtime}_{recipe.precision}"
        assert (recipe.calibration_images > 0) == (recipe.precision == "int8")
        assert find_recipe(name) is recipe


def test_a_file_is_named_by_its_recipe_and_its_format() -> None:
    assert [recipe.file_name for recipe in RECIPES.values()] == [
        "tflite_fp32.tflite",
        "tflite_int8.tflite",
        "executorch_fp32.pte",
        "executorch_int8.pte",
    ]


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
    ],
)
def test_recipes_are_chosen_by_runtime_and_precision(
    runtimes: tuple[str, ...], precisions: tuple[str, ...], names: str
) -> None:
    assert [recipe.name for recipe in select_recipes(runtimes, precisions)] == names.split()


@pytest.mark.parametrize(
    ("runtimes", "precisions", "words"),
    [(("onnx",), (), "unknown runtime 'onnx'"), ((), ("int4",), "unknown precision 'int4'")],
)
def test_an_unknown_runtime_or_precision_is_a_usage_error(
    runtimes: tuple[str, ...], precisions: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        select_recipes(runtimes, precisions)


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        find_recipe("tflite_int8").min_agreement = 0.0  # type: ignore[misc]
