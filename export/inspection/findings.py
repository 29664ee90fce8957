"""What the reader of a format finds, and the inspection that is made of it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from export.inspection.reader import Source, Torn
from export.inspection.records import (
    UNKNOWN,
    DelegateTold,
    Inspection,
    KindTold,
    MovementsTold,
    OperatorTold,
    ParametersTold,
    TensorTold,
)
from export.inspection.runtimes import newest
from foundation.manifest import Runtime

# An operator is shown, kept and counted: dearer than what else is read of a file.
_OPERATOR_COST = 10
_MOST_DIMENSIONS = 16

_BYTES = {
    "float64": 8, "int64": 8, "uint64": 8, "float32": 4, "int32": 4, "uint32": 4,
    "float16": 2, "bfloat16": 2, "int16": 2, "uint16": 2, "int8": 1, "uint8": 1, "bool": 1,
}  # fmt: skip
# Shapes, axes and permutations have these dtypes; weights do not, biases may.
_INDICES = ("int32", "int64", "bool", "string")

_TRANSPOSES = {"TRANSPOSE", "XNNStaticTranspose", "aten::permute_copy.out", "aten::transpose_copy.int_out"}
_RESHAPES = {
    "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "XNNStaticReshape", "aten::view_copy.out", "aten::squeeze_copy.dims_out",
    "aten::unsqueeze_copy.out", "executorch_prim::et_view.default",
}  # fmt: skip


@dataclass(frozen=True)
class Constant:
    """Numbers that stand in the file."""

    dtype: str
    count: int
    bytes: int


@dataclass
class Findings:
    """What was read of one file. `constants` has each once, by wherever its bytes stand."""

    source: Source
    graphs: list[str] = field(default_factory=list)
    inputs: list[TensorTold] = field(default_factory=list)
    outputs: list[TensorTold] = field(default_factory=list)
    operators: list[OperatorTold] = field(default_factory=list)
    constants: dict[Hashable, Constant] = field(default_factory=dict)
    delegates: list[DelegateTold] = field(default_factory=list)
    quantises: int = 0
    dequantises: int = 0
    warnings: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)

    def add(self, operator: OperatorTold) -> None:
        """One more operator."""
        self.source.charge(_OPERATOR_COST)
        self.operators.append(operator)

    def add_constant(self, place: Hashable, constant: Constant, *, layer: bool) -> None:
        """A constant that an operator reads, if it is a parameter: integers that no layer reads are shapes and axes."""
        if layer or constant.dtype not in _INDICES:
            self.constants[place] = constant


def elements(shape: Sequence[int]) -> int:
    """How many numbers a tensor of this shape has; a free dimension counts as 1."""
    return math.prod(max(size, 0) if size != -1 else 1 for size in shape)


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape, if it can be one."""
    if len(shape) > _MOST_DIMENSIONS or any(size < -1 for size in shape):
        raise Torn(f"a tensor has {len(shape)} dimensions, the smallest {min(shape)}")
    return tuple(shape)


def stored_bytes(dtype: str, shape: Sequence[int]) -> int | None:
    """What a tensor takes in a file; None for dtypes that are packed."""
    width = _BYTES.get(dtype)
    return None if width is None else width * elements(shape)


def assemble(path: str, runtime: Runtime, version: str, size: int, found: Findings) -> Inspection:
    """The inspection: findings, and what follows from them."""
    executorch = runtime == "executorch"
    kinds = _kinds(found.operators)
    return Inspection(
        path=path,
        format=runtime,
        format_version=version,
        bytes=size,
        graphs=tuple(found.graphs),
        inputs=tuple(found.inputs),
        outputs=tuple(found.outputs),
        operators=tuple(found.operators),
        kinds=kinds,
        parameters=_parameters(found),
        macs=sum(one.macs for one in kinds),
        movements=_movements(found),
        oldest_runtime=None if executorch else newest(one.oldest_runtime or UNKNOWN for one in kinds),
        delegates=tuple(found.delegates),
        delegated_fraction=_delegated(found) if executorch else None,
        leftover=_leftover(found) if executorch else {},
        warnings=tuple(found.warnings),
        untold=(*found.untold, *_uncounted(found.operators), *_unknown(kinds)),
    )


def _kinds(operators: list[OperatorTold]) -> tuple[KindTold, ...]:
    grouped: defaultdict[str, list[OperatorTold]] = defaultdict(list)
    for one in operators:
        grouped[one.kind].append(one)
    told = [
        KindTold(
            kind=kind,
            count=len(all_of),
            macs=sum(one.macs or 0 for one in all_of),
            bytes=sum(one.bytes for one in all_of),
            versions=tuple(sorted({one.version for one in all_of if one.version is not None})),
            oldest_runtime=newest(releases)
            if (releases := {o.oldest_runtime for o in all_of if o.oldest_runtime})
            else None,
        )
        for kind, all_of in grouped.items()
    ]
    return tuple(sorted(told, key=lambda one: (-one.macs, -one.bytes, -one.count, one.kind)))


def _parameters(found: Findings) -> dict[str, ParametersTold]:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for one in found.constants.values():
        counts[one.dtype] += one.count
        sizes[one.dtype] += one.bytes
    return {dtype: ParametersTold(count=counts[dtype], bytes=sizes[dtype]) for dtype in sorted(counts)}


def _movements(found: Findings) -> MovementsTold:
    return MovementsTold(
        transposes=sum(one.kind in _TRANSPOSES for one in found.operators),
        reshapes=sum(one.kind in _RESHAPES for one in found.operators),
        quantises=found.quantises,
        dequantises=found.dequantises,
    )


def _leftover(found: Findings) -> dict[str, int]:
    return dict(Counter(one.kind for one in found.operators if one.delegate is None))


def _delegated(found: Findings) -> float | None:
    if not found.delegates:
        return 0.0
    inside = sum(one.delegate is not None for one in found.operators)
    if inside == len(found.operators):
        return 1.0
    return None if any(one.operators is None for one in found.delegates) else inside / len(found.operators)


def _uncounted(operators: list[OperatorTold]) -> list[str]:
    missing = Counter(one.kind for one in operators if one.macs is None)
    return [f"MACs of {count} {kind}: not in the sum" for kind, count in missing.items()]


def _unknown(kinds: tuple[KindTold, ...]) -> list[str]:
    known = [one.oldest_runtime for one in kinds if one.oldest_runtime not in (None, UNKNOWN)]
    at_least = f"; TFLite {newest(filter(None, known))} at least, for the others" if known else ""
    return [
        f"the oldest runtime that takes {one.kind} version {', '.join(map(str, one.versions))}{at_least}"
        for one in kinds
        if one.oldest_runtime == UNKNOWN
    ]
