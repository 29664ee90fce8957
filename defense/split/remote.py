"""The server as its client sees it, over a channel."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from defense.split.channel import Channel
from defense.split.halves import Answer, Meter
from defense.split.wire import Agreed, Hello, Kind, pack, parse_hello, parse_trouble, unpack
from foundation.errors import ArtifactError, DataError, EdgecatError, ProtocolError


class RemoteServer:
    """A `ServerSide` behind a channel.

    Args:
        channel: fresh, to the server.
        hello: what this client says of itself.
        agreed: what messages look like.

    Attributes:
        steps: that the server has kept.

    Raises:
        ProtocolError: the server is another edgecat, or trains another network.
        PeerLost: the server is gone, or silent.
    """

    def __init__(self, channel: Channel, hello: Hello, agreed: Agreed) -> None:
        self._channel, self._agreed = channel, agreed
        self.meter = Meter()
        self.module: nn.Module = _Judge(self)
        self._judged = 0
        payload = hello.model_dump_json().encode()
        said = parse_hello(self._exchange(Kind.HELLO, 0, payload))
        refuse_others(hello, said)
        self.steps = said.steps
        channel.most_bytes = agreed.most_bytes

    def go_on(self, step: int) -> None:
        """Both go on from this step, which both have; 0 starts anew."""
        self._exchange(Kind.GO_ON, step)

    def step(self, z: Tensor, y: Tensor, number: int) -> Answer:
        """See `ServerSide.step`.

        Raises:
            DataError: something is no longer a number.
        """
        answer = self._ask(Kind.TRAIN, number, z=z.to(self._agreed.wire), y=y)
        return Answer(answer["gradient"].to(z.dtype), float(answer["loss"]))

    def logits(self, z: Tensor) -> Tensor:
        """See `ServerSide.logits`."""
        return self._ask(Kind.INFER, 0, z=z.to(self._agreed.wire))["logits"]

    def judge(self, z: Tensor) -> tuple[Tensor, int]:
        """Logits in evaluation mode, and a ticket for their gradient, valid until the next ones are judged."""
        self._judged += 1
        return self._ask(Kind.JUDGE, self._judged, z=z.to(self._agreed.wire))["logits"], self._judged

    def pull(self, weights: Tensor, ticket: int) -> Tensor:
        """Gradient by z of the sum of judged logits, each times its weight [B, classes].

        Raises:
            DataError: other logits were judged since.
        """
        if ticket != self._judged:
            raise DataError("the server remembers only the last logits it judged", hint="ask for their gradient first")
        return self._ask(Kind.PULL, ticket, weights=weights.float())["gradient"].float()

    def keep(self, step: int) -> None:
        """The server writes a checkpoint of this step."""
        self._exchange(Kind.KEEP, step)

    def finish(self, step: int) -> None:
        """The server writes its trained half."""
        self._exchange(Kind.FINISH, step)

    def bye(self) -> None:
        """The server may end."""
        self._exchange(Kind.BYE, 0)

    def _ask(self, kind: Kind, step: int, **tensors: Tensor) -> dict[str, Tensor]:
        start, sent, received = time.perf_counter_ns(), self._channel.sent, self._channel.received
        payload = self._exchange(kind, step, pack({name: tensor.detach() for name, tensor in tensors.items()}))
        rows = len(next(iter(tensors.values())))
        answer = unpack(payload, self._agreed.answered(kind), rows)
        self.meter.server_ns += int(answer["ns"])
        self.meter.sent += self._channel.sent - sent
        self.meter.received += self._channel.received - received
        self.meter.waited_ns += time.perf_counter_ns() - start
        for name in ("gradient", "logits"):
            if name in answer and len(answer[name]) != rows:
                raise ProtocolError(f"the server answers {len(answer[name])} of {rows} images")
        return answer

    def _exchange(self, kind: Kind, step: int, payload: bytes = b"") -> bytes:
        self._channel.send(kind, step, payload)
        message = self._channel.receive()
        if message.kind == Kind.ERROR:
            raise _as_error(message.payload)
        if message.kind != kind or message.step != step:
            raise ProtocolError(f"the server sent {message.kind.name} {message.step} where {kind.name} {step} is due")
        return message.payload


def refuse_others(own: Hello, other: Hello) -> None:
    """Both halves must be one edgecat and train one network.

    Raises:
        ProtocolError: they do not.
    """
    if own.edgecat != other.edgecat:
        raise ProtocolError(
            f"this half is edgecat {own.edgecat}, the other {other.edgecat}",
            hint="install the same edgecat on both sides",
        )
    if (own.configuration, own.z_shape, own.classes) != (other.configuration, other.z_shape, other.classes):
        raise ProtocolError(
            f"the halves are of two networks: smashed data {own.z_shape}, {own.classes} classes, settings "
            f"{own.configuration[:12]} here, {other.z_shape}, {other.classes}, {other.configuration[:12]} there",
            hint="give both the same settings",
        )


class _Judge(nn.Module):
    """The server's network as a module: z to logits in evaluation mode, with gradients, over the channel."""

    def __init__(self, server: RemoteServer) -> None:
        super().__init__()
        self._server = server

    def forward(self, z: Tensor) -> Tensor:
        logits: Tensor = _Asked.apply(z, self._server)  # type: ignore[no-untyped-call]
        return logits


class _Asked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, server: RemoteServer) -> Tensor:
        ctx.server = server
        logits, ctx.ticket = server.judge(z)
        return logits

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None]:
        return ctx.server.pull(weights, ctx.ticket), None


def _as_error(payload: bytes) -> EdgecatError:
    trouble = parse_trouble(payload)
    leaf = {"data": DataError, "artifact": ArtifactError}.get(trouble.kind, ProtocolError)
    return leaf(f"the server: {trouble.words}")
