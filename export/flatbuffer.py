"""`.tflite` files rewritten by LiteRT's own schema."""

from __future__ import annotations

from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

_IDENTIFIER = b"TFL3"


def read_model(data: bytes) -> Any:
    """A model as objects (`ModelT` of LiteRT's schema)."""
    return schema.ModelT.InitFromPackedBuf(data, 0)


def write_model(model: Any) -> bytes:
    """A model as a file has it."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def with_float_io(data: bytes) -> bytes:
    """An int8 model with float32 in and out: one QUANTIZE before it, one DEQUANTIZE behind it.

    The ranges are those of the int8 tensors, so images and logits are rounded as before, only inside.
    """
    model = read_model(data)
    (graph,) = model.subgraphs
    (first,), (last,) = graph.inputs, graph.outputs
    image, logits = _float_beside(graph, first), _float_beside(graph, last)
    graph.operators.insert(0, _operator(model, schema.BuiltinOperator.QUANTIZE, image, first))
    graph.operators.append(_operator(model, schema.BuiltinOperator.DEQUANTIZE, last, logits))
    graph.inputs, graph.outputs = [image], [logits]
    for signature in model.signatureDefs or []:
        signature.inputs[0].tensorIndex, signature.outputs[0].tensorIndex = image, logits
    return write_model(model)


def _float_beside(graph: Any, number: int) -> int:
    """A new float32 tensor of another's shape; its number."""
    like = graph.tensors[number]
    tensor = schema.TensorT()
    tensor.name = like.name + b"_float"
    tensor.shape, tensor.shapeSignature = like.shape, like.shapeSignature
    tensor.type = schema.TensorType.FLOAT32
    # Buffer 0 is the empty one: the tensor is computed.
    tensor.buffer = 0
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(model: Any, kind: int, source: int, target: int) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = _code(model, kind)
    operator.inputs, operator.outputs = [source], [target]
    return operator


def _code(model: Any, kind: int) -> int:
    for number, known in enumerate(model.operatorCodes):
        if known.builtinCode == kind:
            return number
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = kind
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1
