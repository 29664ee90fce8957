"""`.tflite` files: graph, constants, versions. Slots are those of LiteRT's `schema.fbs`, names its enumerations'."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

from ai_edge_litert import schema_py_generated as schema

from export.inspection.findings import Constant, Findings, checked_shape, elements, stored_bytes
from export.inspection.layouts import input_layout
from export.inspection.reader import Source, Table, Torn, pick
from export.inspection.records import OperatorTold, TensorTold
from export.inspection.runtimes import newest, since
from export.inspection.traps import hybrid_trap, understated
from export.inspection.versions import needed_version

# Which input is the image, which the weights.
_LAYERS = {"CONV_2D": (0, 1), "DEPTHWISE_CONV_2D": (0, 1), "FULLY_CONNECTED": (0, 1), "TRANSPOSE_CONV": (2, 1)}
# They multiply, but are not counted.
_UNCOUNTED = ("BATCH_MATMUL", "CONV_3D", "CONV_3D_TRANSPOSE", "CUSTOM", "LSTM", "RNN", "SVDF")
_UNCOUNTED_PARTS = ("SEQUENCE", "STABLEHLO")


@dataclass(frozen=True)
class Tensor:
    """One tensor of a subgraph. `buffer` is 0 where it is computed; `scales` says how many it has."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    buffer: int
    bytes: int
    scales: int
    scale: float | None
    zero_point: int | None

    @property
    def constant(self) -> bool:
        """Whether its numbers stand in the file."""
        return self.bytes > 0


@dataclass(frozen=True)
class Operator:
    """One operator of a subgraph, with its tensors; None where an optional one is left out."""

    kind: str
    version: int
    inputs: list[Tensor | None]
    outputs: list[Tensor | None]
    input_numbers: list[int]
    output_numbers: list[int]

    def input(self, number: int) -> Tensor | None:
        """An input, if the operator has so many."""
        return self.inputs[number] if number < len(self.inputs) else None

    @property
    def needs(self) -> int:
        """The version that its dtypes ask for; 1 where they ask for nothing that is known here."""
        dtypes = [one.dtype if one else "" for one in self.inputs[:2]]
        scales = max((one.scales for one in self.inputs[:2] if one and one.constant), default=0)
        return needed_version(self.kind, dtypes, per_channel=scales > 1)

    @property
    def first_output(self) -> Tensor | None:
        """Its result; None if it has none."""
        return self.outputs[0] if self.outputs else None


def read(source: Source) -> tuple[str, Findings]:
    """What a `.tflite` file says of itself, and its version."""
    model, found = source.root(), Findings(source)
    codes = [_code(table) for table in model.tables(1)]
    buffers = [_buffer_bytes(table) for table in model.tables(4)]
    graphs = model.tables(2)
    if not graphs:
        raise Torn("it has no graph")
    for number, table in enumerate(graphs):
        _read_graph(table, number, codes, buffers, found)
    found.warnings += understated(found.operators)
    if len(graphs) > 1:
        found.untold.append(f"how often each of {len(graphs)} graphs is called: each counts once")
    return f"TFL3, schema {model.whole(0, 'I')}", found


def _read_graph(table: Table, number: int, codes: list[tuple[str, int]], buffers: list[int], found: Findings) -> None:
    name = table.text(4) or f"graph {number}"
    tensors = [_tensor(one, buffers) for one in table.tables(0)]
    operators = [_operator(one, codes, tensors) for one in table.tables(3)]
    found.graphs.append(name)
    if number == 0:
        inputs, outputs = table.numbers(1, "i"), table.numbers(2, "i")
        found.inputs = [_told(pick(tensors, one, "tensor"), input_layout(one, operators)) for one in inputs]
        found.outputs = [_told(pick(tensors, one, "tensor"), None) for one in outputs]
    for operator in operators:
        _tell(operator, name, found)


def _tell(operator: Operator, graph: str, found: Findings) -> None:
    constants = [one for one in operator.inputs if one is not None and one.constant]
    for position, one in enumerate(operator.inputs):
        if one is not None and one.constant:
            layer = operator.kind in _LAYERS and not (operator.kind == "TRANSPOSE_CONV" and position == 0)
            place = Constant(one.dtype, elements(one.shape), one.bytes)
            found.add_constant(one.buffer, place, layer=layer)
    result = operator.first_output
    found.quantises += operator.kind == "QUANTIZE"
    found.dequantises += operator.kind == "DEQUANTIZE"
    found.add(
        OperatorTold(
            kind=operator.kind,
            graph=graph,
            version=operator.version,
            needs=operator.needs,
            oldest_runtime=newest(since(operator.kind, one) for one in (operator.version, operator.needs)),
            shape=result.shape if result else (),
            macs=_macs(operator),
            bytes=sum(one.bytes for one in constants),
        )
    )
    if (trap := hybrid_trap(operator)) is not None:
        found.warnings.append(trap)


def _macs(operator: Operator) -> int | None:
    """Every weight is used once for each place of the output (of the input, where the convolution is transposed)."""
    if operator.kind not in _LAYERS:
        parts = any(part in operator.kind for part in _UNCOUNTED_PARTS)
        return None if parts or operator.kind.split(":")[0] in _UNCOUNTED else 0
    image, weights = (operator.input(number) for number in _LAYERS[operator.kind])
    result = image if operator.kind == "TRANSPOSE_CONV" else operator.first_output
    if result is None or weights is None or not result.shape or not weights.shape:
        return None
    if operator.kind == "FULLY_CONNECTED":
        # Its output may be cut into dimensions in another way than [.., out].
        return elements(result.shape) // max(weights.shape[0], 1) * elements(weights.shape)
    return elements(result.shape[:-1]) * elements(weights.shape)


def _code(table: Table) -> tuple[str, int]:
    """An operator's kind and version. Old files have the kind in a byte; whichever is greater is meant."""
    number = max(table.whole(0, "b"), table.whole(3, "i"))
    name = _names("BuiltinOperator").get(number, f"operator {number}")
    return (f"CUSTOM:{table.text(1)}" if name == "CUSTOM" else name), table.whole(2, "i", 1)


def _buffer_bytes(table: Table) -> int:
    """How many bytes a buffer has, inside the flatbuffer or (large files) behind it."""
    offset, size = table.whole(1, "Q"), table.whole(2, "Q")
    if offset > 1:
        if offset + size > len(table.source.data):
            raise Torn(f"a buffer of {size} bytes runs over the end")
        return size
    return table.extent(0, 1)[1]


def _tensor(table: Table, buffers: list[int]) -> Tensor:
    name, number = table.text(3), table.whole(2, "I")
    dtype = _names("TensorType").get(kind := table.whole(1, "b"), f"type {kind}").lower()
    # A free dimension is 1 in `shape` and -1 in `shape_signature`.
    shape = checked_shape(table.numbers(0, "i"))
    held = pick(buffers, number, "buffer") if number else 0
    # As the runtime does. Sparse tensors (slot 6) hold less.
    expected = stored_bytes(dtype, shape)
    if held and expected is not None and held != expected and table.table(6) is None:
        raise Torn(f"tensor {name} has {held} bytes where its shape takes {expected}")
    return Tensor(name, shape, dtype, number, held, *_quantisation(table.table(4), name))


def _quantisation(table: Table | None, name: str) -> tuple[int, float | None, int | None]:
    """How many scales there are; scale and zero point if there is one."""
    start, count = table.extent(2, 4) if table else (0, 0)
    if table is None or not count:
        return 0, None, None
    scale = float(table.source.number("f", start))
    if not math.isfinite(scale):
        raise Torn(f"tensor {name} has scale {scale}")
    if count > 1:
        return count, None, None
    zero, zeros = table.extent(3, 8)
    return 1, scale, table.source.whole("q", zero) if zeros else 0


def _operator(table: Table, codes: list[tuple[str, int]], tensors: list[Tensor]) -> Operator:
    kind, version = pick(codes, table.whole(0, "I"), "operator code")
    inputs, outputs = table.numbers(1, "i"), table.numbers(2, "i")

    def meant(numbers: list[int]) -> list[Tensor | None]:
        return [None if one == -1 else pick(tensors, one, "tensor") for one in numbers]

    return Operator(kind, version, meant(inputs), meant(outputs), inputs, outputs)


def _told(tensor: Tensor, layout: str | None) -> TensorTold:
    told = "nc" if len(tensor.shape) == 2 else layout
    return TensorTold(
        name=tensor.name, shape=tensor.shape, dtype=tensor.dtype, layout=told,
        scale=tensor.scale, zero_point=tensor.zero_point,
    )  # fmt: skip


@cache
def _names(enumeration: str) -> dict[int, str]:
    """The names of one of the schema's enumerations."""
    members = vars(getattr(schema, enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int) and not name.startswith("_")}
