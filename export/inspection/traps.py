"""What a runtime computes wrongly without saying so (measured; see "Export" in the documentation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from export.inspection.records import UNKNOWN, OperatorTold
from export.inspection.runtimes import newest, since

if TYPE_CHECKING:
    from export.inspection.tflite import Operator


def hybrid_trap(operator: Operator) -> str | None:
    """What is to be feared of a layer with int8 weights and float activations (dynamic int8).

    Fully connected layers with a scale for each channel are answered for at chance by tflite-runtime 2.14; convolutions
    with one scale for all channels by LiteRT 2.3.
    """
    image, weights = operator.input(0), operator.input(1)
    if image is None or weights is None or (image.dtype, weights.dtype) != ("float32", "int8"):
        return None
    layer = f"{operator.kind} {weights.name}: int8 weights, float32 activations"
    if operator.kind == "FULLY_CONNECTED" and weights.scales > 1:
        return f"{layer}, {weights.scales} scales: tflite-runtime 2.14 answers nonsense without saying so"
    channels = weights.shape[0] if weights.shape else 1
    if operator.kind == "CONV_2D" and weights.scales == 1 and channels > 1:
        return f"{layer}, one scale for {channels} channels: LiteRT 2.3 answers nonsense without saying so"
    return None


def understated(operators: Sequence[OperatorTold]) -> list[str]:
    """One line on operators whose version in the file is lower than what their dtypes ask for, if there are any."""
    low = sorted({(one.kind, one.version, one.needs) for one in operators if (one.version or 0) < (one.needs or 0)})
    if not low:
        return []
    told = ", ".join(f"{kind} {version} for {needs}" for kind, version, needs in low)
    release = newest(since(kind, needs or 0) for kind, _, needs in low)
    older = "an older runtime" if release == UNKNOWN else f"a runtime before TFLite {release}"
    return [f"versions lower than the dtypes ask for ({told}): {older} does not notice what it cannot compute"]
