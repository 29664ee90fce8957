"""Flatbuffers read slot by slot, with every offset checked: a torn or hostile file ends in `Torn`, never in a crash.

Offsets may point anywhere, also many times at one place: what a file can make us do is bounded by `Source.budget`, not
by what it says of itself. Nothing is allocated that does not stand in the file.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

# Tables and elements read of one file: some hundred times those of a large CNN, and some seconds.
BUDGET = 1_000_000
# So many characters cost as much as one element; exporters give tensors long names.
_CHARACTERS = 16

_T = TypeVar("_T")


class Torn(Exception):
    """The bytes are not what their format says; the message says where, in a few words."""


@dataclass
class Source:
    """The bytes of one file, or of a part of it, and how many things may still be read of them."""

    data: bytes | memoryview
    budget: int = BUDGET

    def charge(self, count: int) -> None:
        """Pay for reading so many things."""
        self.budget -= count
        if self.budget < 0:
            raise Torn("it refers to more parts than a model has")

    def number(self, form: str, position: int) -> int | float:
        """A little-endian number, `form` as in `struct`."""
        size = struct.calcsize("<" + form)
        if not 0 <= position <= len(self.data) - size:
            raise Torn(f"an offset points to byte {position} of {len(self.data)}")
        value: int | float = struct.unpack_from("<" + form, self.data, position)[0]
        return value

    def whole(self, form: str, position: int) -> int:
        """An integer."""
        return int(self.number(form, position))

    def part(self, start: int, size: int) -> bytes:
        """Bytes from `start` on."""
        if start < 0 or size < 0 or start + size > len(self.data):
            raise Torn(f"bytes {start} to {start + size} of {len(self.data)} are meant")
        return bytes(self.data[start : start + size])

    def within(self, start: int, size: int) -> Source:
        """The same bytes from `start` on, as a source that pays from what is left; nothing is copied."""
        if start < 0 or size < 0 or start + size > len(self.data):
            raise Torn(f"bytes {start} to {start + size} of {len(self.data)} are meant")
        return Source(memoryview(self.data)[start : start + size], self.budget)

    def root(self, start: int = 0) -> Table:
        """The outermost table of the flatbuffer that begins at `start`."""
        return Table(self, start + self.whole("I", start))


class Table:
    """One table of a flatbuffer; a slot is a field's place in its schema, from 0.

    Args:
        source: of the bytes.
        position: where the table begins.
    """

    def __init__(self, source: Source, position: int) -> None:
        source.charge(1)
        self.source, self._position = source, position
        self._fields = position - source.whole("i", position)
        self._size = source.whole("H", self._fields)

    def _field(self, slot: int) -> int | None:
        """Where a slot's value stands; None if the table leaves it out."""
        place = 4 + 2 * slot
        if place + 2 > self._size:
            return None
        offset = self.source.whole("H", self._fields + place)
        return self._position + offset if offset else None

    def whole(self, slot: int, form: str, default: int = 0) -> int:
        """An integer field."""
        field = self._field(slot)
        return default if field is None else self.source.whole(form, field)

    def real(self, slot: int, form: str = "f") -> float:
        """A floating-point field."""
        field = self._field(slot)
        return 0.0 if field is None else float(self.source.number(form, field))

    def _target(self, slot: int) -> int | None:
        field = self._field(slot)
        return None if field is None else field + self.source.whole("I", field)

    def table(self, slot: int) -> Table | None:
        """A table that this one refers to."""
        target = self._target(slot)
        return None if target is None else Table(self.source, target)

    def extent(self, slot: int, width: int) -> tuple[int, int]:
        """First byte and count of a vector whose elements have `width` bytes; (0, 0) if it is left out."""
        target = self._target(slot)
        if target is None:
            return 0, 0
        count = self.source.whole("I", target)
        if target + 4 + count * width > len(self.source.data):
            raise Torn(f"a vector of {count} elements runs over the end")
        return target + 4, count

    def numbers(self, slot: int, form: str) -> list[int]:
        """A vector of integers."""
        width = struct.calcsize("<" + form)
        start, count = self.extent(slot, width)
        self.source.charge(count)
        return list(struct.unpack_from(f"<{count}{form}", self.source.data, start))

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables."""
        start, count = self.extent(slot, 4)
        self.source.charge(count)
        places = range(start, start + 4 * count, 4)
        return [Table(self.source, place + self.source.whole("I", place)) for place in places]

    def text(self, slot: int) -> str:
        """A string; what is no printable character of UTF-8 is shown as such."""
        start, count = self.extent(slot, 1)
        self.source.charge(count // _CHARACTERS)
        decoded = self.source.part(start, count).decode("utf-8", "replace")
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in decoded)


def pick(things: Sequence[_T], index: int, what: str) -> _T:
    """`things[index]`, if it is there."""
    if not 0 <= index < len(things):
        raise Torn(f"it refers to {what} {index} of {len(things)}")
    return things[index]
