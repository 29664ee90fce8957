"""What a client may do against being read: baselines, ours, and any of them by name."""

from __future__ import annotations

from collections.abc import Callable

from defense.protections.aware import AttackerAware
from defense.protections.combined import Combined
from defense.protections.gaussian import GaussianNoise
from defense.protections.gradient import ClippedGradients
from defense.protections.nopeek import NoPeek
from defense.split.protection import Protection
from foundation.errors import UsageError

__all__ = ["FORMS", "AttackerAware", "ClippedGradients", "Combined", "GaussianNoise", "NoPeek", "find_protection"]

FORMS = "none, noise:S, clip:NORM[,NOISE], nopeek:W, aware[:W], psgl, or several joined by +, as in psgl+aware:0.5"


def find_protection(text: str) -> Protection:
    """The protection that a text names; `FORMS` lists the forms.

    Args:
        text: for example `nopeek:0.5`, or `noise:0.2+clip:1`.

    Returns:
        a new one, which has learned nothing.

    Raises:
        UsageError: no such name, or arguments that do not fit.
    """
    parts = [_one(part.strip()) for part in text.split("+")]
    return parts[0] if len(parts) == 1 else Combined(parts)


def _one(text: str) -> Protection:
    name, _, given = text.partition(":")
    if name == "psgl":
        return _psgl(text)
    if name not in _MAKERS:
        raise UsageError(f"unknown protection {text!r}", hint=f"use {FORMS}")
    make, least, most = _MAKERS[name]
    try:
        values = [float(value) for value in given.split(",")] if given else []
    except ValueError as error:
        raise UsageError(f"protection {text!r}: {given!r} is no number", hint=f"use {FORMS}") from error
    if not least <= len(values) <= most:
        raise UsageError(f"protection {text!r} has {len(values)} arguments", hint=f"use {FORMS}")
    return make(*values)


def _psgl(text: str) -> Protection:
    # Late: PSGL brings its own server, which nobody else needs.
    from defense.psgl.protection import PSGL

    if text != "psgl":
        raise UsageError(f"protection {text!r}: psgl takes no arguments here", hint=f"use {FORMS}")
    return PSGL()


_MAKERS: dict[str, tuple[Callable[..., Protection], int, int]] = {
    "none": (Protection, 0, 0),
    "noise": (GaussianNoise, 1, 1),
    "clip": (ClippedGradients, 1, 2),
    "nopeek": (NoPeek, 1, 1),
    "aware": (AttackerAware, 0, 1),
}
