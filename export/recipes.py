"""Export recipes: named, and data, so that two of them can be compared line by line.

A name says the runtime and the precision, and what sets it apart from others of that precision. What a runtime has no
recipe for stands in `UNSUPPORTED`, with the reason.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from foundation.errors import UsageError
from foundation.manifest import SUFFIX, Precision, Runtime
from foundation.settings_files import first_fault, read_toml

# Images that set the ranges of activations.
CALIBRATION_IMAGES = 128

Method = Literal["float", "half", "pt2e", "qat", "aeq", "weights", "dynamic"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")

# What each method makes, and for whom.
_METHODS: dict[Method, tuple[tuple[Precision, ...], tuple[Runtime, ...]]] = {
    "float": (("fp32",), ("tflite", "executorch")),
    "half": (("fp16",), ("tflite", "executorch")),
    "pt2e": (("int8",), ("tflite", "executorch")),
    "qat": (("int8",), ("tflite", "executorch")),
    "aeq": (("int8", "int16x8"), ("tflite",)),
    "weights": (("int8_weights",), ("tflite",)),
    "dynamic": (("int8_dynamic",), ("tflite", "executorch")),
}
_CALIBRATED = ("pt2e", "qat", "aeq")

UNSUPPORTED: dict[str, str] = {
    "tflite_portable": "a .tflite file does not say who computes it: the runtime decides about XNNPACK",
    "executorch_int8_aeq": "ai-edge-quantizer writes .tflite files alone: use executorch_int8",
    "executorch_int8_weights": "XNNPACK convolves no float activations with int8 weights: use executorch_int8",
    "executorch_int16x8": "XNNPACK's quantizer has no activations of 16 bits: use executorch_int8 or executorch_fp16",
}


class Recipe(BaseModel):
    """How a CNN becomes a file for one runtime, and what the parity gate demands of that file.

    Attributes:
        name: `RUNTIME_PRECISION`, with `_WORD` where there are several.
        runtime: what runs the file.
        precision: of weights and activations.
        method: `float`: as it is; `half`: weights of 16 bits (TFLite: computed as float32, ExecuTorch: in half
            precision throughout); `pt2e`: PyTorch 2 Export static quantisation; `qat`: the same after fine-tuning with
            quantisation in the loop; `aeq`: ai-edge-quantizer, static, ranges from lowest to highest; `weights`: int8
            weights, float32 computation; `dynamic`: int8 weights, activations quantised at run time.
        calibration_images: how many training images set the ranges of activations; 0 where there are none to set.
        per_channel: whether int8 weights have a scale for each output channel, or one for all.
        float_io: int8 inside, but float32 images in and float32 logits out (TFLite; a `.pte` always has float32).
        delegated: to XNNPACK (ExecuTorch); if not, portable kernels compute.
        epochs: of fine-tuning (`qat`).
        float_layers: names of layers that stay float32, as in `network.named_modules()`. ExecuTorch's `pt2e` and `qat`,
            TFLite's `aeq`: what `pt2e` leaves float between int8 layers, LiteRT's converter quantises all the same.
        min_agreement: lowest share of images whose top-1 class equals the float network's.
        max_relative_rms: highest rms error of the logits, relative to the standard deviation of the float logits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    runtime: Runtime
    precision: Precision
    method: Method
    calibration_images: int = Field(default=0, ge=0)
    per_channel: bool = True
    float_io: bool = False
    delegated: bool = True
    epochs: int = Field(default=0, ge=0)
    float_layers: tuple[str, ...] = ()
    min_agreement: float = Field(ge=0, le=1)
    max_relative_rms: float = Field(gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Recipe:
        precisions, runtimes = _METHODS[self.method]
        if self.precision not in precisions:
            raise ValueError(f"method {self.method} makes {' or '.join(precisions)}, not {self.precision}")
        if self.runtime not in runtimes:
            raise ValueError(f"method {self.method} is for {' and '.join(runtimes)} alone")
        if (self.calibration_images > 0) != (self.method in _CALIBRATED):
            raise ValueError(f"{self.calibration_images} calibration images for method {self.method}")
        if (self.epochs > 0) != (self.method == "qat"):
            raise ValueError(f"{self.epochs} epochs of fine-tuning for method {self.method}")
        if not self.delegated and (self.runtime != "executorch" or self.method != "float"):
            raise ValueError("portable kernels compute ExecuTorch's float32 alone")
        if self.float_io and (self.runtime != "tflite" or self.method not in _CALIBRATED):
            raise ValueError("float_io is a choice for static int8 TFLite alone")
        if self.float_layers and not self.spares:
            raise ValueError(
                "float_layers are a choice of executorch_int8 and tflite_int8_aeq, and of recipes like them"
            )
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} cannot be a file's name")
        return self

    @property
    def spares(self) -> bool:
        """Whether single layers can stay float32."""
        return self.method in (("aeq",) if self.runtime == "tflite" else ("pt2e", "qat"))

    @property
    def file_name(self) -> str:
        """Of the model file."""
        return self.name + SUFFIX[self.runtime]


def _recipe(name: str, runtime: Runtime, precision: Precision, method: Method, **changes: Any) -> Recipe:
    # What is quantised may part from the float network a little; the bound is a point of accuracy.
    agreement, rms = {"fp32": (0.999, 1e-4), "fp16": (0.99, 0.02), "int16x8": (0.99, 0.02)}.get(precision, (0.96, 0.1))
    told = {
        "name": f"{runtime}_{name}",
        "calibration_images": CALIBRATION_IMAGES if method in _CALIBRATED else 0,
        "min_agreement": agreement,
        "max_relative_rms": rms,
    }
    return Recipe.model_validate({**told, "runtime": runtime, "precision": precision, "method": method, **changes})


def _all() -> tuple[Recipe, ...]:
    return (
        _recipe("fp32", "tflite", "fp32", "float"),
        _recipe("int8", "tflite", "int8", "pt2e"),
        _recipe("fp32", "executorch", "fp32", "float"),
        _recipe("int8", "executorch", "int8", "pt2e"),
        _recipe("fp16", "tflite", "fp16", "half"),
        _recipe("int8_float_io", "tflite", "int8", "pt2e", float_io=True),
        _recipe("int8_aeq", "tflite", "int8", "aeq"),
        _recipe("int8_weights", "tflite", "int8_weights", "weights"),
        _recipe("int8_dynamic", "tflite", "int8_dynamic", "dynamic"),
        _recipe("int16x8", "tflite", "int16x8", "aeq", float_io=True),
        _recipe("int8_qat", "tflite", "int8", "qat", epochs=1),
        _recipe("fp16", "executorch", "fp16", "half"),
        _recipe("int8_tensor", "executorch", "int8", "pt2e", per_channel=False),
        _recipe("int8_dynamic", "executorch", "int8_dynamic", "dynamic"),
        _recipe("portable", "executorch", "fp32", "float", delegated=False),
        _recipe("int8_qat", "executorch", "int8", "qat", epochs=1),
    )


RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _all()}
# In place of a recipe's name: every one of them.
ALL = "all"
# Of each runtime one of float32 and one of int8: what is exported where nothing else is asked for.
STANDARD = ("tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8")
# Of each runtime the int8 recipe of which single layers can stay float32.
SPARING = ("tflite_int8_aeq", "executorch_int8")


def find_recipe(name: str, own: dict[str, Recipe] | None = None) -> Recipe:
    """The recipe of that name.

    Args:
        name: of a recipe.
        own: a user's, from `load_recipes`; they come before ours.

    Raises:
        UsageError: there is none, or what it asks for is not to be had.
    """
    known = RECIPES | (own or {})
    if name in UNSUPPORTED and name not in known:
        raise UsageError(f"{name} is not supported: {UNSUPPORTED[name]}")
    if name not in known:
        raise UsageError(f"unknown recipe {name!r}", hint=f"known: {', '.join(known)}")
    return known[name]


def load_recipes(path: Path) -> dict[str, Recipe]:
    """A user's recipes from a TOML file.

    A table of the file is a recipe, its name the recipe's. `like` names one of ours; what else stands in the table
    takes the place of what that one says, and without `like` a table has to say everything:

        [careful]
        like = "tflite_int8"
        calibration_images = 256

    Raises:
        DataError: the file cannot be read.
        UsageError: it is not TOML, or has a recipe that cannot be.
    """
    return {name: _own(name, table, path) for name, table in read_toml(path).items()}


def _own(name: str, table: object, path: Path) -> Recipe:
    if not isinstance(table, dict):
        raise UsageError(f"{path}: {name} is not a table", hint=f"begin a recipe with [{name}]")
    like = table.pop("like", None)
    base = {} if like is None else find_recipe(str(like)).model_dump()
    try:
        return Recipe.model_validate({**base, "name": name, **table})
    except ValidationError as error:
        raise UsageError(f"{path}: recipe {name}: {first_fault(error)}") from error


def select_recipes(runtimes: tuple[str, ...] = (), precisions: tuple[str, ...] = ()) -> tuple[Recipe, ...]:
    """The plain recipe of each of these runtimes and precisions; of no runtime: both, of no precision: fp32 and int8.

    Raises:
        UsageError: a runtime or precision that there is not, or a runtime that has no such precision.
    """
    for kind, chosen, known in (
        ("runtime", runtimes, get_args(Runtime)),
        ("precision", precisions, tuple(word for word in get_args(Precision) if word != "unknown")),
    ):
        for word in chosen:
            if word not in known:
                raise UsageError(f"unknown {kind} {word!r}", hint=f"use {' or '.join(sorted(known))}")
    return tuple(
        find_recipe(f"{runtime}_{precision}")
        for runtime in get_args(Runtime)
        for precision in precisions or ("fp32", "int8")
        if not runtimes or runtime in runtimes
    )
