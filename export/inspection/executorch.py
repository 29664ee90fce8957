"""`.pte` files: methods, kernels, delegates; read by slot, by ExecuTorch's `schema/program.fbs` and its file header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from export.inspection import xnnpack
from export.inspection.findings import Constant, Findings, checked_shape, elements, stored_bytes
from export.inspection.reader import Source, Table, Torn, pick
from export.inspection.records import DelegateTold, OperatorTold, TensorTold

# By `ScalarType`.
_DTYPES = {
    0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "float16", 6: "float32", 7: "float64", 11: "bool",
    15: "bfloat16", 27: "uint16", 28: "uint32", 29: "uint64",
}  # fmt: skip
_BOOL, _TENSOR, _LISTS = 3, 5, (9, 10)
_KERNEL, _DELEGATE = 1, 2
_EXTERNAL = 1
_HEADER = b"eh00"

# Kernels with weights: which argument has them, and which has the image where places are counted in it.
_CONVOLUTION = "aten::convolution.out"
_WEIGHTS = {
    _CONVOLUTION: 1, "aten::linear.out": 1, "aten::addmm.out": 2, "aten::mm.out": 1,
}  # fmt: skip
# The argument of a convolution that says whether it is transposed.
_TRANSPOSED = 6
# Namespaces of kernels that are no layers unless they stand above.
_PLAIN = ("aten", "dim_order_ops", "executorch_prim", "quantized_decomposed")
_UNCOUNTED = ("aten::bmm.out", "aten::baddbmm.out")


@dataclass(frozen=True)
class Value:
    """A tensor of a method. `place`: its buffer's number, 0 where it is computed or given; a name in another file."""

    shape: tuple[int, ...]
    dtype: str
    order: tuple[int, ...]
    place: int | str


# A tensor, a truth, or something else.
Argument = Value | bool | None


@dataclass
class Program:
    """A `.pte` file: its flatbuffer, what stands behind it, and the names of what stands in another file."""

    source: Source
    found: Findings
    blobs: dict[tuple[int, int], xnnpack.Program | None] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)

    @cached_property
    def root(self) -> Table:
        """The program's outermost table."""
        return self.source.root()

    @cached_property
    def segments(self) -> list[tuple[int, int]]:
        """First byte and size of each segment, all within the file."""
        data, base = self.source.data, 0
        if data[8:12] == _HEADER:
            base = self.source.whole("Q", 24)
        told = [(base + table.whole(0, "Q"), table.whole(1, "Q")) for table in self.root.tables(4)]
        for start, size in told:
            if start + size > len(data):
                raise Torn(f"a segment ends at byte {start + size} of {len(data)}")
        return told

    @cached_property
    def constants(self) -> list[int]:
        """How many bytes there are, at most, for each constant of kernels; 0 is none."""
        inside = [table.extent(0, 1)[1] for table in self.root.tables(2)]
        if (behind := self.root.table(5)) is None or inside:
            return inside
        size = pick(self.segments, behind.whole(0, "I"), "segment")[1]
        return [size - offset for offset in behind.numbers(1, "Q")]

    def check(self, value: Value) -> None:
        """A constant has the bytes that its shape takes."""
        if isinstance(value.place, str) or not value.place:
            return
        held, expected = pick(self.constants, value.place, "constant"), stored_bytes(value.dtype, value.shape)
        if held < (expected or 0):
            raise Torn(f"constant {value.place} has {held} bytes at most where its shape takes {expected}")

    @cached_property
    def named(self) -> dict[str, int]:
        """The bytes of constants that stand in the file under a name."""
        return {table.text(0): pick(self.segments, table.whole(1, "I"), "segment")[1] for table in self.root.tables(7)}


def read(source: Source) -> tuple[str, Findings]:
    """What a `.pte` file says of itself, and its version."""
    found = Findings(source)
    program = Program(source, found)
    plans = program.root.tables(1)
    if not plans:
        raise Torn("it has no method")
    if any(size for _, size in program.segments) and source.data[8:12] != _HEADER:
        raise Torn("it has segments but no header that says where they begin")
    for number, plan in enumerate(plans):
        _read_plan(plan, number, program)
    if len(plans) > 1:
        found.untold.append(f"which of {len(plans)} methods is called: MACs are the sum of all")
    if program.elsewhere:
        found.warnings.append(f"{len(program.elsewhere)} constants stand in another file: their bytes are counted here")
    identifier = source.part(4, 4).decode("ascii", "replace")
    return f"{identifier}, schema {program.root.whole(0, 'I')}", found


def _read_plan(plan: Table, number: int, program: Program) -> None:
    found, name = program.found, plan.text(0) or f"method {number}"
    found.graphs.append(name)
    kinds = [(table.whole(0, "B"), table.table(1)) for table in plan.tables(2)]
    values = {at: _value(table) for at, (kind, table) in enumerate(kinds) if kind == _TENSOR and table is not None}
    for value in values.values():
        program.check(value)
    program.elsewhere |= {one.place for one in values.values() if isinstance(one.place, str)}
    if number == 0:
        found.inputs = [_told(values[one]) for one in plan.numbers(3, "i") if one in values]
        found.outputs = [_told(values[one]) for one in plan.numbers(4, "i") if one in values]
    operators = [_name(table) for table in plan.tables(6)]
    delegates = [_Delegate.read(table, program) for table in plan.tables(7)]
    for kind, call in _calls(plan):
        if kind == _DELEGATE:
            delegate = pick(delegates, call.whole(0, "i"), "delegate")
            delegate.calls += 1
            delegate.tell(name, found)
        elif kind == _KERNEL:
            arguments = list(_arguments(call.numbers(1, "i"), kinds, values))
            _tell(pick(operators, call.whole(0, "i"), "operator"), name, arguments, found)
    found.delegates += [one.told() for one in delegates]
    found.untold += [f"what stands in {one.id}: its form is its own" for one in delegates if one.program is None]


def _calls(plan: Table) -> Iterator[tuple[int, Table]]:
    """The instructions, in order: kernels, delegates, and those that only move values or jump."""
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            call = instruction.table(1)
            if call is None:
                raise Torn("an instruction says nothing")
            yield instruction.whole(0, "B"), call


def _arguments(
    numbers: list[int], kinds: list[tuple[int, Table | None]], values: Mapping[int, Value]
) -> Iterator[Argument]:
    """A kernel's arguments, tensors in lists one by one."""
    for number in numbers:
        kind, table = pick(kinds, number, "value")
        if kind in _LISTS and table is not None:
            yield from (values.get(one) for one in table.numbers(0, "i"))
        elif kind == _BOOL and table is not None:
            yield bool(table.whole(0, "B"))
        else:
            yield values.get(number)


def _tell(kind: str, graph: str, arguments: list[Argument], found: Findings) -> None:
    constants = [one for one in arguments[:-1] if isinstance(one, Value) and one.place]
    sizes = [stored_bytes(one.dtype, one.shape) or 0 for one in constants]
    for one, size in zip(constants, sizes, strict=True):
        found.add_constant(one.place, Constant(one.dtype, elements(one.shape), size), layer=kind in _WEIGHTS)
    result = arguments[-1] if arguments else None
    shape = result.shape if isinstance(result, Value) else ()
    found.quantises += "::quantize_" in kind
    found.dequantises += "::dequantize_" in kind
    found.add(OperatorTold(kind=kind, graph=graph, shape=shape, macs=_macs(kind, arguments), bytes=sum(sizes)))


def _macs(kind: str, arguments: list[Argument]) -> int | None:
    """Every weight is used once for each place of the output (of the input, where the convolution is transposed)."""
    if kind not in _WEIGHTS:
        return 0 if kind.split("::")[0] in _PLAIN and kind not in _UNCOUNTED else None
    image, weights, result = (pick(arguments, at, "argument") for at in (0, _WEIGHTS[kind], len(arguments) - 1))
    if not (isinstance(image, Value) and isinstance(weights, Value) and isinstance(result, Value)):
        return None
    if kind != _CONVOLUTION:
        return elements(result.shape[:-1]) * elements(weights.shape)
    places = image if pick(arguments, _TRANSPOSED, "argument") is True else result
    return elements(places.shape[:1] + places.shape[2:]) * elements(weights.shape)


def _name(table: Table) -> str:
    name, overload = table.text(0), table.text(1)
    return f"{name}.{overload}" if overload else name


def _value(table: Table) -> Value:
    number = table.whole(0, "b")
    dtype, shape = _DTYPES.get(number, f"type {number}"), checked_shape(table.numbers(2, "i"))
    extra = table.table(9)
    place: int | str
    if extra is not None and extra.whole(2, "b") == _EXTERNAL:
        place = extra.text(1)
    else:
        # With a place in memory beside its buffer it is a state, not a constant.
        place = 0 if table.table(6) is not None else table.whole(5, "I")
    return Value(shape, dtype, tuple(table.numbers(3, "B")), place)


def _told(value: Value) -> TensorTold:
    layouts = {(0, 1): "nc", (0, 1, 2, 3): "nchw", (0, 2, 3, 1): "nchw, channels last in memory"}
    return TensorTold(name="", shape=value.shape, dtype=value.dtype, layout=layouts.get(value.order))


@dataclass
class _Delegate:
    """A delegate of a method, and what could be read of it (None: nothing)."""

    id: str
    bytes: int
    constant_bytes: int
    program: xnnpack.Program | None
    calls: int = 0

    @classmethod
    def read(cls, table: Table, program: Program) -> _Delegate:
        """Find a delegate's bytes and, if they are XNNPACK's, what they say."""
        name, place = table.text(0), table.table(1)
        if place is None:
            raise Torn(f"delegate {name} has no data")
        index = place.whole(1, "I")
        if place.whole(0, "b"):
            start, size = pick(program.segments, index, "segment")
        else:
            start, size = pick(program.root.tables(3), index, "delegate data").extent(0, 1)
        held = _read_blob(program, start, size) if name == "XnnpackBackend" else None
        constants = 0
        for key, expected in (held.elsewhere if held else {}).items():
            if key not in program.named:
                program.elsewhere.add(key)
            elif program.named[key] < expected:
                raise Torn(f"constant {key} has {program.named[key]} bytes where {name} takes {expected}")
            constants += expected
        return cls(name, size, constants, held)

    def tell(self, graph: str, found: Findings) -> None:
        """One call: all its operators, in their order."""
        for node in self.program.nodes if self.program else ():
            for place, constant in node.constants.items():
                # Names are the file's; what stands in the blob itself is this delegate's.
                key = (id(self.program), place) if place.startswith("#") else place
                found.add_constant(key, constant, layer=node.layer)
            found.quantises += node.quantises
            found.dequantises += node.dequantises
            size = sum(one.bytes for one in node.constants.values())
            found.add(
                OperatorTold(
                    kind=node.kind, graph=graph, delegate=self.id, shape=node.shape, macs=node.macs, bytes=size
                )
            )

    def told(self) -> DelegateTold:
        """For the inspection."""
        return DelegateTold(
            id=self.id,
            bytes=self.bytes,
            constant_bytes=self.constant_bytes,
            calls=self.calls,
            operators=len(self.program.nodes) if self.program else None,
        )


def _read_blob(program: Program, start: int, size: int) -> xnnpack.Program | None:
    """XNNPACK's graph at these bytes, read once; it pays from the file's budget."""
    if (start, size) not in program.blobs:
        blob = program.source.within(start, size)
        program.blobs[start, size] = xnnpack.read(blob)
        program.source.budget = blob.budget
    return program.blobs[start, size]
