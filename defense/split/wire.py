"""Messages between the halves of a split network. Nothing that arrives is ever unpickled.

    0      4      5      6       8          16
    +------+------+------+-------+----------+---------- - -
    | ESPL | vers | kind | flags | step     | payload
    +------+------+------+-------+----------+---------- - -

Little-endian. The payload of messages that carry tensors is safetensors; names, dtypes and shapes must be those that
both sides agreed on, up to a number of rows. HELLO and ERROR carry JSON, the rest nothing. The length stands before the
message (`multiprocessing.connection`), and one that is longer than agreed is not read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from foundation.errors import ProtocolError

_Words = TypeVar("_Words", bound=BaseModel)

VERSION = 1
MAGIC = b"ESPL"
HEADER = struct.Struct("<4sBBHQ")
# Of JSON, and of what safetensors puts before the tensors.
MOST_WORDS = 1 << 16


class Kind(IntEnum):
    """What a message is. The client asks, the server answers in the same kind, or by ERROR."""

    HELLO = 1  # JSON both ways
    GO_ON = 2  # from the step that both have; 0 is the start
    TRAIN = 3  # z, y; answered by gradient, loss
    INFER = 4  # z; answered by logits
    JUDGE = 5  # the same, and the server remembers how it came to them
    PULL = 6  # weights of the last judged logits; answered by the gradient of their weighted sum
    KEEP = 7  # a checkpoint of this step
    FINISH = 8  # the trained server is written
    BYE = 9
    ERROR = 10


class Message(NamedTuple):
    """One message; `step` is the training step that it belongs to."""

    kind: Kind
    step: int
    payload: bytes


class Hello(BaseModel):
    """What each side says of itself first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    edgecat: str = Field(max_length=100)
    configuration: str = Field(max_length=64)
    z_shape: tuple[int, int, int]
    classes: int
    steps: tuple[int, ...] = Field(default=(), max_length=64)


class Trouble(BaseModel):
    """Why a server refuses. Kind `data`: something is no longer a number; else the protocol is broken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(max_length=10)
    words: str = Field(max_length=2000)


@dataclass(frozen=True)
class Form:
    """A tensor that a message carries: dtype, and sizes after the first. The first counts rows; `rows` fixes it."""

    dtype: torch.dtype
    sizes: tuple[int, ...] = ()
    rows: int | None = None


Forms = Mapping[str, Form]


@dataclass(frozen=True)
class Agreed:
    """What both sides expect of messages, after the hello.

    Attributes:
        z_shape: channels, height, width of smashed data.
        classes: number of logits.
        most_rows: images in one message at most.
        wire: dtype of smashed data and gradients.
    """

    z_shape: tuple[int, int, int]
    classes: int
    most_rows: int
    wire: torch.dtype = torch.float32

    def asked(self, kind: Kind) -> Forms:
        """What the client sends."""
        z = Form(self.wire, self.z_shape)
        return {
            Kind.TRAIN: {"z": z, "y": Form(torch.int64)},
            Kind.INFER: {"z": z},
            Kind.JUDGE: {"z": z},
            Kind.PULL: {"weights": Form(torch.float32, (self.classes,))},
        }.get(kind, {})

    def answered(self, kind: Kind) -> Forms:
        """What the server sends; `ns` are the nanoseconds it computed."""
        gradient, logits = Form(self.wire, self.z_shape), Form(torch.float32, (self.classes,))
        ns = {"ns": Form(torch.int64, rows=1)}
        forms: dict[Kind, dict[str, Form]] = {
            Kind.TRAIN: {"gradient": gradient, "loss": Form(torch.float32, rows=1)},
            Kind.INFER: {"logits": logits},
            Kind.JUDGE: {"logits": logits},
            Kind.PULL: {"gradient": gradient},
        }
        return forms[kind] | ns if kind in forms else {}

    @property
    def most_bytes(self) -> int:
        """No message is longer."""
        numbers = max(self.z_shape[0] * self.z_shape[1] * self.z_shape[2], self.classes) + 4
        return HEADER.size + MOST_WORDS + 8 * self.most_rows * numbers


def encode(message: Message) -> bytes:
    """A message as bytes."""
    return HEADER.pack(MAGIC, VERSION, message.kind, 0, message.step) + message.payload


def decode(data: bytes) -> Message:
    """The way back.

    Raises:
        ProtocolError: not a message of this version.
    """
    if len(data) < HEADER.size or data[:4] != MAGIC:
        raise ProtocolError(f"not a message of split learning: starts with {data[:8]!r}")
    _, version, kind, flags, step = HEADER.unpack_from(data)
    if version != VERSION:
        raise ProtocolError(
            f"the other half speaks version {version} of split learning's messages, this one {VERSION}",
            hint="install the same edgecat on both sides",
        )
    if flags or kind not in iter(Kind):
        raise ProtocolError(f"a message of unknown kind {kind} (flags {flags})")
    return Message(Kind(kind), step, data[HEADER.size :])


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Tensors as a payload."""
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def unpack(payload: bytes, forms: Forms, most_rows: int) -> dict[str, Tensor]:
    """A payload's tensors, all of one number of rows where a form does not fix it.

    Raises:
        ProtocolError: not safetensors, or not the tensors that were agreed on.
    """
    if not forms:
        if payload:
            raise ProtocolError(f"{len(payload)} bytes where none were agreed on")
        return {}
    try:
        tensors = load(payload)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ProtocolError(f"a garbled message: {str(error).splitlines()[0] if str(error) else error!r}") from error
    if set(tensors) != set(forms):
        raise ProtocolError(f"a message carries {', '.join(sorted(tensors))[:200]} where {', '.join(forms)} are due")
    rows = {_checked(name, tensors[name], form, most_rows) for name, form in forms.items() if form.rows is None}
    for name, form in forms.items():
        if form.rows is not None:
            _checked(name, tensors[name], form, form.rows)
    if len(rows) > 1:
        raise ProtocolError(f"a message carries {sorted(rows)} rows: not one number")
    return tensors


def _checked(name: str, tensor: Tensor, form: Form, most_rows: int) -> int:
    shape = tuple(tensor.shape)
    if tensor.dtype != form.dtype or shape[1:] != form.sizes or not shape or not 1 <= shape[0] <= most_rows:
        meant = ", ".join(map(str, (f"1…{most_rows}", *form.sizes)))
        raise ProtocolError(f"{name} is {tensor.dtype} {shape} where {form.dtype} ({meant}) was agreed on")
    return shape[0]


def parse_hello(payload: bytes) -> Hello:
    """A hello's JSON.

    Raises:
        ProtocolError: it is none.
    """
    return _parsed(Hello, payload)


def parse_trouble(payload: bytes) -> Trouble:
    """An error's JSON.

    Raises:
        ProtocolError: it is none.
    """
    return _parsed(Trouble, payload)


def _parsed(model: type[_Words], payload: bytes) -> _Words:
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise ProtocolError(f"a garbled {model.__name__.lower()}: {error.errors()[0]['msg']}") from error
