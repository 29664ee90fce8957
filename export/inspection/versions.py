"""Which version of a TFLite operator its dtypes ask for.

Facts of LiteRT's `tflite/converter/tools/versioning/op_version.cc`, for the quantised operators of CNNs. Exporters that
rewrite a finished file do not always raise the versions in it (ai-edge-quantizer 0.10 leaves those of the float model),
and then a runtime takes what it cannot compute.
"""

from __future__ import annotations

from collections.abc import Sequence

# By dtype of image and weights: the version, and with a scale for each channel.
_LAYERS = {
    "CONV_2D": {"int8 int8": (3, 3), "float32 int8": (2, 5), "int8 int4": (7, 7), "int16 int8": (4, 4)},
    "DEPTHWISE_CONV_2D": {"int8 int8": (3, 3), "float32 int8": (4, 6), "int8 int4": (7, 7), "int16 int8": (5, 5)},
    "FULLY_CONNECTED": {"int8 int8": (4, 4), "float32 int8": (3, 12), "int8 int4": (10, 10), "int16 int8": (7, 7)},
}
# By dtype of the first input: int8, int16.
_OTHERS = {
    "ADD": (2, 3), "AVERAGE_POOL_2D": (2, 3), "CONCATENATION": (2, 3), "LOGISTIC": (2, 3), "MAXIMUM": (2, 4),
    "MAX_POOL_2D": (2, 3), "MEAN": (2, 3), "MINIMUM": (2, 4), "MIRROR_PAD": (2, 3), "MUL": (2, 4), "PAD": (2, 3),
    "PADV2": (2, 3), "REDUCE_MAX": (2, 3), "RELU": (2, 3), "RELU6": (2, 3), "RESIZE_BILINEAR": (2, 4),
    "RESIZE_NEAREST_NEIGHBOR": (2, 4), "SOFTMAX": (2, 3), "SUB": (2, 5), "TANH": (2, 3), "TRANSPOSE": (2, 5),
}  # fmt: skip
_DEQUANTIZE = {"int8": (2, 5), "int16": (3, 3), "float16": (3, 3), "int4": (6, 6)}


def needed_version(kind: str, dtypes: Sequence[str], *, per_channel: bool) -> int:
    """The lowest version of an operator that knows these dtypes, as far as the tables go.

    Args:
        kind: of the operator.
        dtypes: of its first inputs.
        per_channel: whether a constant among them has several scales.
    """
    first = dtypes[0] if dtypes else ""
    if kind == "DEQUANTIZE":
        return _DEQUANTIZE.get(first, (1, 1))[per_channel]
    if kind in _LAYERS:
        return _LAYERS[kind].get(" ".join(dtypes[:2]), (1, 1))[per_channel]
    by_dtype = dict(zip(("int8", "int16"), _OTHERS.get(kind, ()), strict=False))
    return by_dtype.get(first, 1)
