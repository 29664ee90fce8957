"""Markdown of the documents' tables."""

from __future__ import annotations

from collections.abc import Iterable


def table(head: Iterable[str], rows: list[list[str]], texts: int) -> str:
    """Markdown; the first `texts` columns are words, the others numbers. Short rows are filled up."""
    names = list(head)
    filled = [row + [""] * (len(names) - len(row)) for row in rows]
    rule = ["---"] * texts + ["---:"] * (len(names) - texts)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [names, rule, *filled])
