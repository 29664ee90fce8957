"""Every protection of split learning by its name: `none`, `noise:0.5`, or several joined by `+`."""

from __future__ import annotations

from collections.abc import Callable

from defense.split.combined import Combined
from defense.split.protection import Protection
from foundation.errors import UsageError


def _none(argument: str) -> Protection:
    if argument:
        raise ValueError("it takes no argument")
    return Protection()


# Name to what makes it of the text after its colon ("" where there is none); a ValueError says what is wrong with that.
# Whoever has a new one adds a line here.
FACTORIES: dict[str, Callable[[str], Protection]] = {
    "none": _none,
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
        raise UsageError(f"unknown protection {word!r}", hint=f"known: {', '.join(FACTORIES)}; join several by +")
    try:
        return FACTORIES[name](argument)
    except ValueError as error:
        raise UsageError(f"protection {word!r}: {error}") from error
