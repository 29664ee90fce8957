"""XNNPACK's part of a `.pte`, a flatbuffer of its own: ExecuTorch's `backends/xnnpack/serialization/schema.fbs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from export.inspection.findings import Constant, checked_shape, elements, stored_bytes
from export.inspection.reader import Source, Table, Torn, pick

_HEADER, _IDENTIFIERS = b"XH00", (b"XN00", b"XN01")
# The id of a tensor that is left out, and the offset of one that stands elsewhere.
_NO_TENSOR, _ELSEWHERE = 2**32 - 1, 2**64 - 1

# By `XNNDatatype`.
_DTYPES = (
    "invalid", "float32", "float16", "int8", "uint8", "int32", "int8", "int32", "int4", "int8", "int4", "int8", "int32",
    "float32", "bfloat16",
)  # fmt: skip

# By `XNodeUnion`, from 1: kind, and the slots of inputs and output; they hang on the table that the kind shares.
_ONE, _TWO = ((0,), 1), ((0, 1), 2)
_CONVOLUTION, _POOLING, _CONCATENATION = ((15, 16, 17), 18), ((10,), 11), ((1, 2, 3, 4, 7), 5)
_KINDS: tuple[tuple[str, tuple[tuple[int, ...], int]], ...] = (
    ("Add", _TWO), ("FullyConnected", ((0, 1, 2), 3)), ("Softmax", _ONE), ("Sigmoid", _ONE),
    ("StaticTranspose", ((2,), 3)), ("Clamp", _ONE), ("Conv2d", _CONVOLUTION), ("Div", _TWO),
    ("StaticResizeBilinear2D", ((2,), 3)), ("StaticConstantPad", ((3,), 4)), ("AvgPooling2d", _POOLING),
    ("Minimum", _TWO), ("DepthwiseConv2d", _CONVOLUTION), ("MaxPooling2d", _POOLING), ("Multiply", _TWO),
    ("Subtract", _TWO), ("Floor", _ONE), ("Convert", _ONE), ("GlobalAvgPooling2d", _ONE), ("StaticReshape", ((2,), 3)),
    ("ArgMaxPooling2d", ((6,), 7)), ("SquareRoot", _ONE), ("Ceiling", _ONE), ("Hardswish", _ONE),
    ("LeakyReLU", ((1,), 2)), ("Maximum", _TWO), ("Negate", _ONE), ("Square", _ONE), ("ELU", ((1,), 2)), ("Abs", _ONE),
    ("PReLU", _TWO), ("Concatenate2", _CONCATENATION), ("Concatenate3", _CONCATENATION),
    ("Concatenate4", _CONCATENATION), ("StaticSlice", ((3,), 4)), ("ScaledDotProductAttention", ((0, 1, 2, 3, 4), 5)),
    ("BatchMatrixMultiply", _TWO), ("Concatenate5", _CONCATENATION), ("ConvTranspose2d", _CONVOLUTION),
    ("ReciprocalSquareRoot", _ONE), ("Log", _ONE), ("Gelu", _ONE), ("Tanh", _ONE), ("Exp", _ONE), ("Sin", _ONE),
    ("Copy", _ONE), ("Cos", _ONE),
)  # fmt: skip
_LAYERS = ("Conv2d", "DepthwiseConv2d", "ConvTranspose2d", "FullyConnected")
_UNCOUNTED = ("BatchMatrixMultiply", "ScaledDotProductAttention")


@dataclass(frozen=True)
class Value:
    """A tensor of XNNPACK's graph. `constant` numbers its data; 0 where it is computed."""

    shape: tuple[int, ...]
    dtype: str
    constant: int


@dataclass(frozen=True)
class Node:
    """An operator of XNNPACK's graph.

    `constants`: by a name that is the same wherever the same bytes are meant.
    """

    kind: str
    layer: bool
    shape: tuple[int, ...]
    macs: int | None
    constants: Mapping[str, Constant]
    quantises: bool
    dequantises: bool


@dataclass(frozen=True)
class Program:
    """What a blob holds; `elsewhere` are the constants (and scales) that it refers to by name, with their bytes."""

    nodes: tuple[Node, ...]
    elsewhere: Mapping[str, int]


def read(blob: Source) -> Program | None:
    """XNNPACK's graph; None if these bytes are none of the forms that are known here.

    Raises:
        Torn: it is one, but broken.
    """
    if len(blob.data) < 8:
        return None
    start = blob.whole("I", 10) if blob.data[4:8] == _HEADER else 0
    if blob.part(start, 8)[4:] not in _IDENTIFIERS:
        return None
    graph = blob.root(start)
    held = _constants(graph)
    values = dict(_value(table) for table in graph.tables(2))
    for value in values.values():
        _check(value, held)
    return Program(
        tuple(_node(table, values, held) for table in graph.tables(1)),
        {name: size for name, size in held if not name.startswith("#")},
    )


def _constants(graph: Table) -> list[tuple[str, int]]:
    """Name and bytes of each constant; names of those that stand in the blob begin with #."""
    inside = [(f"#{number}", table.extent(0, 1)[1]) for number, table in enumerate(graph.tables(6))]
    if inside:
        return inside
    told = []
    for number, table in enumerate(graph.tables(8)):
        offset, size = table.whole(0, "Q"), table.whole(1, "Q")
        # Not in a flatbuffer's reach, but never more than the blob has behind it.
        if offset != _ELSEWHERE and offset + size > len(table.source.data):
            raise Torn(f"constant {number} of {size} bytes runs over the end of its delegate")
        told.append((table.text(2) if offset == _ELSEWHERE else f"#{number}", size))
    return told


def _value(table: Table) -> tuple[int, Value]:
    """A tensor by its id. A quantised one wraps a plain one."""
    kind, inner = table.whole(0, "B"), table.table(1)
    plain = inner.table(0) if inner is not None and kind == 2 else inner
    if plain is None:
        raise Torn("a delegate has a tensor without a description")
    dtype = pick(_DTYPES, plain.whole(0, "h"), "XNNPACK dtype")
    shape = checked_shape(plain.numbers(2, "I"))
    return plain.whole(6, "I"), Value(shape, dtype, plain.whole(3, "I"))


def _check(value: Value, held: list[tuple[str, int]]) -> None:
    """A constant has the bytes that its shape takes."""
    if not value.constant:
        return
    size, expected = pick(held, value.constant, "constant")[1], stored_bytes(value.dtype, value.shape)
    if expected is not None and size < expected:
        raise Torn(f"constant {value.constant} of a delegate has {size} bytes where its shape takes {expected}")


def _node(table: Table, values: Mapping[int, Value], held: list[tuple[str, int]]) -> Node:
    number, inner = table.whole(0, "B"), table.table(1)
    if inner is None:
        raise Torn("a delegate has an operator without a description")
    if number > len(_KINDS):
        # Newer than this table: its fields cannot be read.
        return Node(f"XNN {number}", False, (), None, {}, False, False)
    kind, (inputs, output) = pick(_KINDS, number - 1, "XNNPACK operator")
    read_from = [_lookup(values, inner.whole(slot, "I")) for slot in _meant(kind, inputs)]
    result = _lookup(values, inner.whole(output, "I"))
    before, after = (value.dtype if value else "" for value in (read_from[0], result))
    return Node(
        kind=f"XNN{kind}",
        layer=kind in _LAYERS,
        shape=result.shape if result else (),
        macs=_macs(kind, read_from, result),
        constants=dict(_constant(value, held) for value in read_from if value is not None and value.constant),
        quantises=kind == "Convert" and "float" in before and "int" in after,
        dequantises=kind == "Convert" and "int" in before and "float" in after,
    )


def _meant(kind: str, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """The slots in use: concatenations of two to five share one table."""
    return inputs[: int(kind[-1])] if kind.startswith("Concatenate") else inputs


def _lookup(values: Mapping[int, Value], number: int) -> Value | None:
    if number == _NO_TENSOR:
        return None
    if number not in values:
        raise Torn(f"a delegate refers to tensor {number}, which it does not have")
    return values[number]


def _constant(value: Value, held: list[tuple[str, int]]) -> tuple[str, Constant]:
    name, size = held[value.constant]
    return name, Constant(value.dtype, elements(value.shape), size)


def _macs(kind: str, read_from: list[Value | None], result: Value | None) -> int | None:
    """Every weight is used once for each place of the output (of the input, where the convolution is transposed)."""
    if kind not in _LAYERS:
        return None if kind in _UNCOUNTED else 0
    places, weights = read_from[0] if kind == "ConvTranspose2d" else result, read_from[1]
    if places is None or weights is None or not places.shape:
        return None
    return elements(places.shape[:-1]) * elements(weights.shape)
