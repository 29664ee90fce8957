"""`edgecat inspect`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecat.cli import options
from edgecat.cli.output import Output

if TYPE_CHECKING:
    from export.inspection.records import Inspection, TensorTold

_NAMES = {"tflite": "TFLite", "executorch": "ExecuTorch"}


def inspect(
    file: Annotated[
        Path, typer.Argument(help="A .tflite or .pte file: of edgecat export, or anybody's.", show_default=False)
    ],
    every: Annotated[
        bool, typer.Option("--every", help="Every operator in its order, not one line for each kind.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Tell what a model file holds: operators, parameters, MACs, delegates, versions, traps.

    The file is read, never run, and needs no manifest; if one stands beside it, the two are compared. A file whose
    structure is broken ends with exit code 4. What a file does not let one tell is said to be so.

    The oldest runtime goes by the versions of a .tflite's operators and by what their dtypes ask for; whether that
    runtime answers rightly is for edgecat export --everywhere to find out.
    """
    with Output(json) as output:
        from export.inspection import inspect_model

        told = inspect_model(file)
        lines = [*_summary(told), "", *(_operators(told) if every else _kinds(told))]
        lines += [f"warning: {one}" for one in told.warnings] + [f"not told: {one}" for one in told.untold]
        output.result(told.model_dump(mode="json"), "\n".join(lines))


def _summary(told: Inspection) -> Iterator[str]:
    made = f", recipe {told.recipe}" if told.recipe else ""
    yield f"{told.path}: {_NAMES[told.format]} ({told.format_version}), {told.bytes:,} bytes{made}"
    for word, tensors in (("in", told.inputs), ("out", told.outputs)):
        yield from (f"{word:<12}{_tensor(one)}" for one in tensors)
    parts = [f"{one.count:,} {dtype} ({one.bytes:,} bytes)" for dtype, one in told.parameters.items()]
    yield f"{'parameters':<12}{sum(one.count for one in told.parameters.values()):,}: {', '.join(parts) or 'none'}"
    yield f"{'MACs':<12}{told.macs:,}"
    moved = told.movements
    yield (
        f"{'movements':<12}{moved.transposes} transposes, {moved.reshapes} reshapes, "
        f"{moved.quantises} quantise, {moved.dequantises} dequantise"
    )
    yield from _runtimes(told)


def _runtimes(told: Inspection) -> Iterator[str]:
    if told.format == "tflite":
        yield f"{'runs on':<12}TFLite {told.oldest_runtime}{'' if told.oldest_runtime == 'unknown' else ' or newer'}"
        return
    share = "unknown" if told.delegated_fraction is None else f"{told.delegated_fraction:.0%} of operators"
    yield f"{'delegated':<12}{share}"
    for one in told.delegates:
        inside = "operators unknown" if one.operators is None else f"{one.operators} operators"
        yield f"{'':<12}{one.id}: {inside}, {one.bytes:,} bytes and {one.constant_bytes:,} of constants"
    left = ", ".join(f"{count} {kind}" for kind, count in told.leftover.items())
    yield f"{'left over':<12}{left or 'nothing'}"


def _tensor(told: TensorTold) -> str:
    scale = "" if told.scale is None else f", scale {told.scale:.6g}, zero point {told.zero_point}"
    layout = f" {told.layout}" if told.layout else ""
    return f"{told.dtype} {list(told.shape)}{layout}{scale}  {told.name}".rstrip()


def _kinds(told: Inspection) -> list[str]:
    rows = [("operator", "count", "MACs", "bytes", "versions", "since")]
    for one in told.kinds:
        versions = ", ".join(map(str, one.versions))
        rows.append((one.kind, str(one.count), f"{one.macs:,}", f"{one.bytes:,}", versions, one.oldest_runtime or ""))
    return _table(rows)


def _operators(told: Inspection) -> list[str]:
    rows = [("operator", "by", "output", "MACs", "bytes", "version")]
    for one in told.operators:
        macs = "unknown" if one.macs is None else f"{one.macs:,}"
        shape = "x".join(map(str, one.shape))
        rows.append((one.kind, one.delegate or "", shape, macs, f"{one.bytes:,}", str(one.version or "")))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of cells as lines; columns of numbers stand to the right, empty columns not at all."""
    columns = [cells for cells in zip(*rows, strict=True) if any(cells[1:])]
    widths = [max(map(len, cells)) for cells in columns]
    right = [cells[0] in ("count", "MACs", "bytes") for cells in columns]
    return [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
