"""What a report consists of, apart from how a page or Markdown shows it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.report.drawing import Drawing


@dataclass(frozen=True)
class Table:
    """A table of words and numbers. The first column heads its rows; `numeric` columns are aligned right."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Picture:
    """A figure or photograph: its file beside the report, what it shows in words, and what stands in the page."""

    file: str
    alt: str
    caption: str
    inline_svg: str | None = None
    png: bytes = b""
    kind: Literal["picture"] = "picture"

    @property
    def data_uri(self) -> str:
        """The PNG, as a page can carry it."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Code:
    """Text to be read letter for letter."""

    caption: str
    text: str
    kind: Literal["code"] = "code"


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading of its own."""

    identifier: str
    title: str
    paragraphs: Sequence[str] = ()
    blocks: Sequence[Table | Picture | Code] = ()


@dataclass(frozen=True)
class Report:
    """The whole report.

    Attributes:
        title: of the page.
        facts: when, of what, on what; one line under the title.
        verdict: sentences that say in words and numbers what was found.
        cautions: what a reader must know before they believe the numbers.
        sections: in order.
        drawings: every figure, for `plots/`.
        pictures: other PNG files for `plots/`, by name.
    """

    title: str
    facts: str
    verdict: Sequence[str]
    cautions: Sequence[str]
    sections: Sequence[Section]
    drawings: Sequence[Drawing] = ()
    pictures: dict[str, bytes] = field(default_factory=dict)


def drawn(drawing: Drawing, alt: str, caption: str) -> Picture:
    """A figure as a block of the report."""
    return Picture(f"{drawing.name}.png", alt, caption, inline_svg=drawing.inline)
