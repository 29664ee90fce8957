"""A comparison as tables: one for each kind of device, which never share one."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.comparison.rows import Comparison, Row
from benchmarks.report.words import NOT_MEASURED, number

HEAD = ("", "metric", "A", "B", "change (95 %)", "p", "verdict")
_VERDICTS = ("worse", "better", "no change", "not tested")
_SHOWN = 4
_RIGHT = ("A", "B", "change (95 %)", "p")


def cells(row: Row) -> list[str]:
    """One row, in the columns of `HEAD`."""
    p_value = NOT_MEASURED if row.p_value is None else "< 0.001" if row.p_value < 0.001 else f"{row.p_value:.3f}"
    return [row.what, row.metric, _value(row, row.a), _value(row, row.b), _change(row), p_value, row.verdict]


def by_device(comparison: Comparison) -> list[tuple[str, list[Row]]]:
    """Rows by device, what was measured in process first."""
    places = sorted({(row.device_kind or "", row.device) for row in comparison.rows})
    return [
        (
            device if kind in ("", device) else f"{device} ({kind})",
            [row for row in comparison.rows if (row.device_kind or "", row.device) == (kind, device)],
        )
        for kind, device in places
    ]


def remarks(comparison: Comparison) -> list[str]:
    """What stands below the tables: why something was not tested, conditions, what one side lacks."""
    rows_of: dict[str, list[str]] = {}
    for row in comparison.rows:
        said = [*([f"not tested: {row.reason}"] if row.reason else []), *row.notes]
        for words in said:
            rows_of.setdefault(words, []).append(f"{row.metric} of {row.what}")
    # What is said of many rows is said once.
    found = [f"{_some(names)}: {words}" for words, names in rows_of.items()]
    for side, missing in (("A", comparison.only_a), ("B", comparison.only_b)):
        if missing:
            found.append(f"only in {side}: {_some(missing)}")
    return found


def verdict(comparison: Comparison) -> str:
    """The comparison in one line."""
    counts = {word: sum(row.verdict == word for row in comparison.rows) for word in _VERDICTS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    if comparison.fail_on is None:
        return told
    bound = f"{100 * comparison.fail_on:g} %"
    return f"{told}; worse by more than {bound}: {', '.join(comparison.failed) or 'nothing'}"


def markdown(comparison: Comparison) -> str:
    """For a pull request: one table for each device, and the remarks."""
    lines = [f"### A: `{safe(comparison.a)}` · B: `{safe(comparison.b)}`", "", verdict(comparison), ""]
    for device, rows in by_device(comparison):
        lines += [f"**{safe(device)}**", "", markdown_row(HEAD)]
        lines.append(markdown_row(["---:" if name in _RIGHT else "---" for name in HEAD]))
        for row in rows:
            shown = cells(row)
            shown[-1] = f"**{shown[-1]}**" if row.verdict == "worse" else shown[-1]
            lines.append(markdown_row([safe(cell) for cell in shown]))
        lines.append("")
    lines += [f"- {safe(remark)}" for remark in remarks(comparison)]
    lines += [
        "",
        "Worse: slower, less accurate, or a victim that is easier to steal, and more than chance (docs/compare.md).",
    ]
    return "\n".join(lines) + "\n"


def _some(names: Sequence[str]) -> str:
    shown = "; ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}; and {len(names) - _SHOWN} more"


def _value(row: Row, value: float) -> str:
    return f"{number(value)} µs" if row.metric == "latency" else f"{100 * value:.1f} %"


def _change(row: Row) -> str:
    unit = "%" if row.metric == "latency" else "points"
    text = f"{100 * row.change:+.1f} {unit}"
    if row.interval is None:
        return text
    return f"{text} ({100 * row.interval[0]:+.1f} to {100 * row.interval[1]:+.1f})"


def markdown_row(shown: Sequence[str]) -> str:
    return f"| {' | '.join(shown)} |"


def safe(text: str) -> str:
    """User's text as it is, in Markdown."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("`", "'").replace("<", "&lt;")
