"""Which TFLite release was the first to take a version of an operator.

Facts of LiteRT's `tflite/converter/tools/versioning/runtime_version.cc` (2.23 development; before: TensorFlow's
`tensorflow/lite/tools/versioning/runtime_version.cc`), for the operators that CNNs have. What is not here is `unknown`.
"""

from __future__ import annotations

from collections.abc import Iterable

from export.inspection.records import UNKNOWN

# Operator: the first release with version 1, 2, ...
_SINCE = {
    "ABS": "1.13 2.4 2.5 2.6 2.12",
    "ADD": "1.5 1.14 2.4 2.6 2.13 2.23",
    "ARG_MAX": "1.9 1.14 2.9",
    "AVERAGE_POOL_2D": "1.5 1.14 2.3",
    "BATCH_MATMUL": "2.3 2.3 2.4 2.5",
    "CAST": "1.5 2.7 2.8 2.9 2.12 2.15 2.17 2.21",
    "CONCATENATION": "1.5 1.14 2.3 2.14 2.21 2.23",
    "CONV_2D": "1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15",
    "DEPTHWISE_CONV_2D": "1.5 1.12 1.14 2.2 2.3 2.3 2.11",
    "DEPTH_TO_SPACE": "2.1 2.5",
    "DEQUANTIZE": "1.13.1 1.14 1.15 2.2 2.7 2.18 2.21 2.22",
    "DIV": "1.6 2.3",
    "ELU": "1.14",
    "EXP": "1.7 2.12",
    "EXPAND_DIMS": "1.10",
    "FULLY_CONNECTED": "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18 2.21",
    "GELU": "2.9 2.9",
    "HARD_SWISH": "1.15",
    "L2_NORMALIZATION": "1.5 1.14",
    "LEAKY_RELU": "1.13.1 2.3",
    "LOCAL_RESPONSE_NORMALIZATION": "1.5",
    "LOGISTIC": "1.14 1.14 2.3",
    "LOG_SOFTMAX": "1.14 1.14",
    "MAXIMUM": "1.14 1.14 2.3 2.3",
    "MAX_POOL_2D": "1.5 1.14 2.3",
    "MEAN": "1.6 1.14 2.4",
    "MINIMUM": "1.14 1.14 2.3 2.3",
    "MIRROR_PAD": "1.13.1 2.3 2.12",
    "MUL": "1.5 1.14 1.15 2.3 2.6 2.11 2.13 2.23",
    "NEG": "1.9",
    "PACK": "1.11 1.14 2.3 2.13",
    "PAD": "1.5 1.14 2.4 2.6 2.20",
    "PADV2": "1.9 1.14 2.4 2.6 2.20",
    "POW": "1.10",
    "PRELU": "1.8",
    "QUANTIZE": "1.14 1.15 2.7 2.21 2.21 2.21",
    "REDUCE_MAX": "1.11 1.14 2.5",
    "RELU": "1.5 2.1 2.5",
    "RELU6": "1.5 1.14 2.5",
    "RELU_0_TO_1": "2.10",
    "RELU_N1_TO_1": "1.5",
    "RESHAPE": "1.5",
    "RESIZE_BILINEAR": "1.7 1.14 2.2 2.5",
    "RESIZE_NEAREST_NEIGHBOR": "1.13.1 1.14 2.3 2.4",
    "RSQRT": "1.10 2.5 2.15",
    "SHAPE": "1.10",
    "SLICE": "1.14 1.14 1.14 2.4 2.5 2.14 2.21 2.23",
    "SOFTMAX": "1.5 1.14 2.3 2.23",
    "SPACE_TO_DEPTH": "1.5 1.14",
    "SPLIT": "1.5 1.14 1.14 2.3",
    "SPLIT_V": "1.13.1 2.3",
    "SQRT": "1.10 2.21",
    "SQUARE": "1.12",
    "SQUARED_DIFFERENCE": "1.13.1 2.5",
    "SQUEEZE": "1.6 2.5",
    "STABLEHLO_COMPOSITE": "2.17",
    "STRIDED_SLICE": "1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14",
    "SUB": "1.6 1.14 2.3 2.4 2.4",
    "SUM": "1.10 1.15",
    "TANH": "1.14 1.14 2.3",
    "TILE": "1.10.1 2.2 2.8",
    "TRANSPOSE": "1.6 1.14 1.15 2.3 2.4 2.12 2.14.4 2.22 2.23",
    "TRANSPOSE_CONV": "1.9 2.2 2.3 2.13 2.15",
    "UNPACK": "1.11 1.14 2.2 2.3 2.22",
}


def since(kind: str, version: int) -> str:
    """The first TFLite release that takes this version of an operator, as `2.14`; or `unknown`."""
    releases = _SINCE.get(kind, "").split()
    return releases[version - 1] if 1 <= version <= len(releases) else UNKNOWN


def newest(releases: Iterable[str]) -> str:
    """The release that takes what all of these take; `unknown` if one of them is."""
    listed = set(releases)
    return UNKNOWN if not listed or UNKNOWN in listed else max(listed, key=_order)


def _order(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))
