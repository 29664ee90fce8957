"""Whether a TFLite model takes NHWC or NCHW: the file does not say so, but TFLite convolves NHWC alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.inspection.tflite import Operator

_NHWC = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "AVERAGE_POOL_2D", "MAX_POOL_2D", "RESIZE_BILINEAR")
# They leave every dimension in its place.
_PLAIN = ("QUANTIZE", "DEQUANTIZE", "CAST", "PAD", "PADV2", "ADD", "SUB", "MUL", "DIV", "RELU", "RELU6")
_FAR = 8


def input_layout(number: int, operators: Sequence[Operator]) -> str | None:
    """The layout of a four-dimensional input, from what its first readers do with it.

    Args:
        number: of the input tensor.
        operators: of its graph.

    Returns:
        `nhwc`: it is convolved as it stands; `nchw`: channels are moved to the end first; None: cannot be told.
    """
    for _ in range(_FAR):
        reader = next((one for one in operators if number in one.input_numbers), None)
        image = None if reader is None else reader.inputs[reader.input_numbers.index(number)]
        if reader is None or image is None or len(image.shape) != 4:
            return None
        if reader.kind in _NHWC:
            return "nhwc"
        result = reader.first_output
        if reader.kind in ("TRANSPOSE", "RESHAPE") and result is not None:
            batch, channels, height, width = image.shape
            return "nchw" if result.shape == (batch, height, width, channels) else None
        if reader.kind not in _PLAIN or not reader.output_numbers:
            return None
        number = reader.output_numbers[0]
    return None
