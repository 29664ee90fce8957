"""Whether a `.tflite` file is whole, for a runtime that does not look: every offset and length stays within the file.

Standard library only. The layout is that of FlatBuffers and of TensorFlow Lite's schema, version 3. Vectors within an
operator's options are not followed: each operator has other ones.
"""

from __future__ import annotations

import struct
from typing import TypeAlias

from foundation.errors import ArtifactError

# What a field points to. A number: a vector of elements of so many bytes (a string is one of bytes). A list: a vector
# of tables. A dict: a table, by the numbers of its fields that point somewhere.
Pointed: TypeAlias = int | list["Pointed"] | dict[int, "Pointed"]

_QUANTIZATION: Pointed = {0: 4, 1: 4, 2: 4, 3: 8}
_TENSOR: Pointed = {0: 4, 3: 1, 4: _QUANTIZATION, 7: 4}
_OPERATOR: Pointed = {1: 4, 2: 4, 4: {}, 5: 1, 7: 1, 8: 4}
_SUBGRAPH: Pointed = {0: [_TENSOR], 1: 4, 2: 4, 3: [_OPERATOR], 4: 1}
_MODEL: Pointed = {1: [{1: 1}], 2: [_SUBGRAPH], 3: 1, 4: [{0: 1}], 5: 4, 6: [{0: 1}]}


def demand_whole(model: bytes) -> None:
    """Pass a file in which nothing points outside of it.

    Raises:
        ArtifactError: something does, or it is no such file.
    """
    try:
        if model[4:8] != b"TFL3":
            raise ValueError("not a .tflite file")
        _follow(model, 0, _MODEL)
    except (struct.error, ValueError) as error:
        raise ArtifactError(f"the model is torn: {error}") from error


def _follow(model: bytes, place: int, kind: Pointed) -> None:
    """Look at what the offset at `place` points to."""
    target = place + struct.unpack_from("<I", model, place)[0]
    if isinstance(kind, dict):
        _table(model, target, kind)
        return
    (count,) = struct.unpack_from("<I", model, target)
    size = kind if isinstance(kind, int) else 4
    if target + 4 + count * size > len(model):
        raise ValueError(f"{count} elements at byte {target} of {len(model)}")
    if isinstance(kind, list):
        for number in range(count):
            _follow(model, target + 4 + 4 * number, kind[0])


def _table(model: bytes, table: int, fields: dict[int, Pointed]) -> None:
    layout = table - struct.unpack_from("<i", model, table)[0]
    if layout < 0:
        raise ValueError(f"a table at byte {table} has its layout before the file")
    length, extent = struct.unpack_from("<HH", model, layout)
    if layout + length > len(model) or table + extent > len(model):
        raise ValueError(f"a table at byte {table} of {len(model)}")
    for number, kind in fields.items():
        entry = 4 + 2 * number
        if entry + 2 <= length and (offset := struct.unpack_from("<H", model, layout + entry)[0]):
            _follow(model, table + offset, kind)
