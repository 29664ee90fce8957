"""Export recipes: named, and data, so that two of them can be compared line by line.

A name says the runtime and the precision. `int8` is PyTorch 2 Export (PT2E) static quantisation: weights int8 per
channel, symmetric; activations int8 per tensor, affine, ranges from a calibration set.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from foundation.errors import UsageError
from foundation.manifest import SUFFIX, Precision, Runtime


class Recipe(BaseModel):
    """How a CNN becomes a file for one runtime, and what the parity gate demands of that file.

    Attributes:
        name: `RUNTIME_PRECISION`.
        runtime: what runs the file.
        precision: of weights and activations.
        calibration_images: how many training images set the ranges; 0 where there are none to set.
        min_agreement: lowest share of images whose top-1 class equals the float network's.
        max_relative_rms: highest rms error of the logits, relative to the standard deviation of the float logits.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    runtime: Runtime
    precision: Precision
    calibration_images: int = Field(ge=0)
    min_agreement: float = Field(ge=0, le=1)
    max_relative_rms: float = Field(gt=0)

    @property
    def file_name(self) -> str:
        """Of the model file."""
        return self.name + SUFFIX[self.runtime]


def _float32(runtime: Runtime) -> Recipe:
    name = f"{runtime}_fp32"
    return Recipe(
        name=name, runtime=runtime, precision="fp32", calibration_images=0, min_agreement=0.999, max_relative_rms=1e-4
    )


def _int8(runtime: Runtime) -> Recipe:
    name = f"{runtime}_int8"
    return Recipe(
        name=name, runtime=runtime, precision="int8", calibration_images=128, min_agreement=0.96, max_relative_rms=0.1
    )


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (_float32("tflite"), _int8("tflite"), _float32("executorch"), _int8("executorch"))
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in RECIPES:
        raise UsageError(f"unknown recipe {name!r}", hint=f"known: {', '.join(RECIPES)}")
    return RECIPES[name]


def select_recipes(runtimes: tuple[str, ...] = (), precisions: tuple[str, ...] = ()) -> tuple[Recipe, ...]:
    """Every recipe of these runtimes and precisions; an empty choice means all.

    Raises:
        UsageError: a runtime or precision that no recipe has.
    """
    for kind, chosen, known in (
        ("runtime", runtimes, {r.runtime for r in RECIPES.values()}),
        ("precision", precisions, {r.precision for r in RECIPES.values()}),
    ):
        for word in chosen:
            if word not in known:
                raise UsageError(f"unknown {kind} {word!r}", hint=f"use {' or '.join(sorted(known))}")
    return tuple(
        recipe
        for recipe in RECIPES.values()
        if (not runtimes or recipe.runtime in runtimes) and (not precisions or recipe.precision in precisions)
    )
