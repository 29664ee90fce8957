"""What a client may do against being read: baselines, ours, and every protection by its name, alone and joined."""

from __future__ import annotations

from collections.abc import Callable

from defense.protections.aware import AttackerAware
from defense.protections.gaussian import GaussianNoise
from defense.protections.gradient import ClippedGradients
from defense.protections.nopeek import NoPeek
from defense.split.combined import Combined
from defense.split.protection import Protection
from foundation.errors import UsageError

__all__ = ["FACTORIES", "AttackerAware", "ClippedGradients", "GaussianNoise", "NoPeek", "find_protection"]

_FORMS = "none, noise:S, clip:NORM[,NOISE], nopeek:W, aware[:W], psgl[:MAP]; several joined by +, as in psgl+aware:0.3"


def _numbers(make: Callable[..., Protection], least: int, most: int) -> Callable[[str], Protection]:
    def made(argument: str) -> Protection:
        values = [float(word) for word in argument.split(",")] if argument else []
        if not least <= len(values) <= most:
            raise ValueError(f"it takes {least if least == most else f'{least} to {most}'} arguments")
        return make(*values)

    return made


def _psgl(argument: str) -> Protection:
    # Late: a server of three streams that nobody else needs.
    from defense.psgl.protection import PSGL
    from defense.psgl.saliency import MapSettings
    from defense.psgl.settings import ClientSettings

    maps = {"": MapSettings(), "normalised": MapSettings("normalised"), "iterated": MapSettings("iterated")}
    if argument not in maps:
        raise ValueError("its map is normalised or iterated, or raw where nothing is said")
    protection = PSGL(ClientSettings(maps[argument]))
    protection.name = f"psgl:{argument}" if argument else "psgl"
    return protection


# Name to what makes it of the text after its colon ("" where there is none); a ValueError says what is wrong with that.
# Whoever has a new one adds a line here.
FACTORIES: dict[str, Callable[[str], Protection]] = {
    "none": _numbers(Protection, 0, 0),
    "noise": _numbers(GaussianNoise, 1, 1),
    "clip": _numbers(ClippedGradients, 1, 2),
    "nopeek": _numbers(NoPeek, 1, 1),
    "aware": _numbers(AttackerAware, 0, 1),
    "psgl": _psgl,
}


def find_protection(text: str) -> Protection:
    """A fresh protection by its name, `NAME` or `NAME:ARGUMENT`; several joined by `+` are one.

    Raises:
        UsageError: unknown, an argument that it does not take, or several that cannot be joined.
    """
    parts = tuple(_one(word) for word in text.split("+"))
    return parts[0] if len(parts) == 1 else Combined(parts)


def _one(word: str) -> Protection:
    name, _, argument = word.strip().partition(":")
    if name not in FACTORIES:
        raise UsageError(f"unknown protection {word!r}", hint=f"known: {_FORMS}")
    try:
        return FACTORIES[name](argument)
    except ValueError as error:
        raise UsageError(f"protection {word!r}: {error}", hint=f"known: {_FORMS}") from error
