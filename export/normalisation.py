"""What a user says of normalisation: a number for each channel, or one for all."""

from __future__ import annotations

from foundation.errors import UsageError


def by_channel(name: str, values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """A number for each channel.

    Raises:
        UsageError: neither one number nor one for each.
    """
    if len(values) not in (1, channels):
        raise UsageError(f"{len(values)} numbers of {name} for {channels} channels")
    return values * channels if len(values) == 1 else values
