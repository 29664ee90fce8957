"""What an inspection tells, ready for JSON."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

UNKNOWN = "unknown"


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True)


class TensorTold(_Told):
    """An input or output of the model.

    Attributes:
        name: as the file has it; empty in a `.pte`, which has none.
        shape: as stored; -1 where a dimension is free.
        dtype: of the elements, `float32` and so on.
        layout: `nhwc`, `nchw` or `nc`; None where the file does not let one tell.
        scale: for quantised tensors, real = (stored - zero_point) * scale.
        zero_point: see `scale`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: str | None = None
    scale: float | None = None
    zero_point: int | None = None


class OperatorTold(_Told):
    """One operator, in the order of execution.

    Attributes:
        kind: `CONV_2D`, `aten::convolution.out`, `XNNConv2d`, ...
        graph: the subgraph (TFLite) or method (ExecuTorch) that it stands in.
        delegate: who computes it, where the file says so; None: the runtime's own kernels.
        version: of the operator, as the file has it (TFLite).
        needs: the version that its dtypes ask for (TFLite). Some exporters write a lower one.
        oldest_runtime: the first TFLite release that takes both, or `unknown`.
        shape: of its first output.
        macs: multiply-accumulates; 0 where it is not a layer of weights, None where they cannot be told.
        bytes: of the constants that it reads. What several operators share stands at each of them.
    """

    kind: str
    graph: str
    delegate: str | None = None
    version: int | None = None
    needs: int | None = None
    oldest_runtime: str | None = None
    shape: tuple[int, ...] = ()
    macs: int | None = 0
    bytes: int = 0


class KindTold(_Told):
    """All operators of one kind together."""

    kind: str
    count: int
    macs: int
    bytes: int
    versions: tuple[int, ...]
    oldest_runtime: str | None


class ParametersTold(_Told):
    """How many numbers of one dtype the model has learnt, and how many bytes they take."""

    count: int
    bytes: int


class DelegateTold(_Told):
    """A part of a `.pte` file that a backend computes.

    Attributes:
        id: the backend's name.
        bytes: of its program.
        constant_bytes: of the constants beside it that it refers to.
        calls: how many times the file calls it.
        operators: how many it holds; None where its program is not one that can be read.
    """

    id: str
    bytes: int
    constant_bytes: int = 0
    calls: int
    operators: int | None


class MovementsTold(_Told):
    """Operators that compute nothing new: they move or convert."""

    transposes: int
    reshapes: int
    quantises: int
    dequantises: int


class Inspection(_Told):
    """What a model file says of itself.

    Attributes:
        path: the file.
        format: `tflite` or `executorch`.
        format_version: file identifier and schema version.
        bytes: of the file.
        graphs: subgraphs or methods; inputs and outputs are those of the first.
        inputs: of the model.
        outputs: of the model.
        operators: in order, all graphs.
        kinds: the same by kind, the most MACs and bytes first.
        parameters: by dtype; shapes, axes and other arguments that happen to be constants are none.
        macs: in sum over all operators for which they can be told.
        movements: transposes, reshapes, conversions.
        oldest_runtime: of TFLite that takes every operator's version, or `unknown`; None for `.pte`.
        delegates: of a `.pte`.
        delegated_fraction: share of operators that stand in delegates; None where it cannot be told.
        leftover: operators outside of delegates (`.pte`), with their number.
        recipe: by the manifest beside the file; None without a manifest that fits.
        warnings: what is wrong with the file, or will go wrong.
        untold: what the file does not let one tell.
    """

    path: str
    format: Literal["tflite", "executorch"]
    format_version: str
    bytes: int
    graphs: tuple[str, ...]
    inputs: tuple[TensorTold, ...]
    outputs: tuple[TensorTold, ...]
    operators: tuple[OperatorTold, ...]
    kinds: tuple[KindTold, ...]
    parameters: dict[str, ParametersTold]
    macs: int
    movements: MovementsTold
    oldest_runtime: str | None
    delegates: tuple[DelegateTold, ...] = ()
    delegated_fraction: float | None = None
    leftover: dict[str, int] = {}
    recipe: str | None = None
    warnings: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
