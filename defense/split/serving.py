"""The server's process: `python -m defense.split.serving`, with an order (JSON) on its stdin.

It serves one client at a time, and ends when a client says goodbye, or when whoever holds its stdin is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from defense.protections import find_protection
from defense.split.channel import PATIENCE_SECONDS, Channel, PeerLost
from defense.split.checkpoints import Checkpoints
from defense.split.config import SplitConfig, software
from defense.split.halves import ServerHalf, finite
from defense.split.model import build_server
from defense.split.remote import refuse_others
from defense.split.state import write_state
from defense.split.storage import CHECKPOINTS, save_server
from defense.split.wire import Agreed, Hello, Kind, Trouble, pack, parse_hello, unpack
from foundation.errors import ArtifactError, DataError, EdgecatError, ProtocolError

READY = "ready"

Tensors = dict[str, Tensor]


class Order(BaseModel):
    """What a server process is told.

    Attributes:
        config: of network and training.
        z_shape: channels, height, width of smashed data.
        directory: where the trained half goes, and its checkpoints in a directory of their own.
        address: path of the Unix socket to listen on.
        key: 64 hexadecimal digits that a client must have too.
        patience: seconds of silence after which a client counts as frozen.
        transcript: directory for what the server sees, a safetensors file a message; None keeps nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: SplitConfig
    z_shape: tuple[int, int, int]
    directory: Path
    address: str
    key: str
    patience: float = PATIENCE_SECONDS
    transcript: Path | None = None


@dataclass
class Session:
    """One client's visit.

    Args:
        channel: to the client.
        order: what this server was told.
    """

    channel: Channel
    order: Order

    def __post_init__(self) -> None:
        config = self.order.config
        self._agreed = agreed_for(config, self.order.z_shape)
        self._checkpoints = Checkpoints(self.order.directory / CHECKPOINTS, "server", config.sha256)
        self._half, self._done = self._fresh(), 0
        self._judged: tuple[int, Tensor, Tensor] | None = None
        self._answers: dict[Kind, Callable[[int, Tensors], bytes]] = {
            Kind.GO_ON: self._go_on,
            Kind.TRAIN: self._train,
            Kind.INFER: self._infer,
            Kind.JUDGE: self._judge,
            Kind.PULL: self._pull,
            Kind.KEEP: self._keep,
            Kind.FINISH: self._finish,
        }

    def serve(self) -> None:
        """Answer until the client says goodbye.

        Raises:
            PeerLost: it went without, or fell silent.
            EdgecatError: it was refused, and told why.
        """
        try:
            self._greet()
            while (message := self.channel.receive()).kind != Kind.BYE:
                if message.kind not in self._answers:
                    raise ProtocolError(f"a client does not say {message.kind.name} here")
                tensors = unpack(message.payload, self._agreed.asked(message.kind), self._agreed.most_rows)
                self.channel.send(message.kind, message.step, self._answers[message.kind](message.step, tensors))
            self.channel.send(Kind.BYE, message.step)
        except PeerLost:
            raise
        except EdgecatError as error:
            self.channel.send(Kind.ERROR, 0, _trouble(error))
            raise

    def _greet(self) -> None:
        message = self.channel.receive()
        if message.kind != Kind.HELLO:
            raise ProtocolError(f"a client says {message.kind.name} before HELLO")
        own = hello(self.order.config, self.order.z_shape, self._checkpoints.steps())
        refuse_others(own, parse_hello(message.payload))
        self.channel.send(Kind.HELLO, message.step, own.model_dump_json().encode())
        self.channel.most_bytes = self._agreed.most_bytes

    def _go_on(self, step: int, _: Tensors) -> bytes:
        self._half, self._done = self._fresh(), step
        if step:
            self._half.learner.load_state(self._checkpoints.read(step)[0], "server")
        self._checkpoints.forget_after(step)
        return b""

    def _train(self, step: int, tensors: Tensors) -> bytes:
        if step != self._done + 1 or step > self.order.config.total:
            raise ProtocolError(f"a client sends step {step} after step {self._done}")
        y = tensors["y"]
        if int(y.min()) < 0 or int(y.max()) >= self._agreed.classes:
            raise ProtocolError(f"labels {int(y.min())} to {int(y.max())} of {self._agreed.classes} classes")
        z = finite(tensors["z"].float(), "the smashed data", step)
        before = self._half.meter.server_ns
        answer = self._half.step(z, y, step)
        self._done = step
        gradient, loss = answer.gradient.to(self._agreed.wire), torch.tensor([answer.loss])
        self._record("train", step, **tensors, gradient=gradient)
        return _timed(self._half.meter.server_ns - before, gradient=gradient, loss=loss)

    def _infer(self, _: int, tensors: Tensors) -> bytes:
        before = self._half.meter.server_ns
        logits = self._half.logits(tensors["z"].float()).float()
        return _timed(self._half.meter.server_ns - before, logits=logits)

    def _judge(self, step: int, tensors: Tensors) -> bytes:
        start = time.perf_counter_ns()
        z = tensors["z"].float().contiguous(memory_format=torch.channels_last).requires_grad_()
        self._half.network.eval()
        logits = self._half.network(z).float()
        self._judged = step, z, logits
        self._record("judge", step, **tensors)
        return _timed(time.perf_counter_ns() - start, logits=logits.detach())

    def _pull(self, step: int, tensors: Tensors) -> bytes:
        start, weights = time.perf_counter_ns(), tensors["weights"]
        if self._judged is None or self._judged[0] != step or len(weights) != len(self._judged[2]):
            raise ProtocolError("a client asks for the gradient of logits that were not judged")
        _, z, logits = self._judged
        self._judged = None
        (gradient,) = torch.autograd.grad(logits, z, weights)
        return _timed(time.perf_counter_ns() - start, gradient=gradient.to(self._agreed.wire))

    def _keep(self, step: int, _: Tensors) -> bytes:
        if step != self._done:
            raise ProtocolError(f"a client wants step {step} kept after step {self._done}")
        self._checkpoints.write(step, self._half.learner.state())
        return b""

    def _finish(self, _: int, __: Tensors) -> bytes:
        save_server(self.order.directory, self._half.network, self.order.config)
        return b""

    def _fresh(self) -> ServerHalf:
        config = self.order.config
        protection = find_protection(config.protection)
        network = build_server(self.order.z_shape, config.classes, protection, config.seed, config.depth)
        return ServerHalf(network, config.settings, config.total)

    def _record(self, what: str, step: int, **tensors: Tensor) -> None:
        if self.order.transcript is not None:
            write_state(self.order.transcript / f"{what}-{step:08d}.safetensors", tensors, "{}")


def agreed_for(config: SplitConfig, shape: tuple[int, int, int]) -> Agreed:
    """What messages look like under a configuration."""
    wire = torch.bfloat16 if config.wire == "bfloat16" else torch.float32
    return Agreed(shape, config.classes, config.most_rows, wire)


def hello(config: SplitConfig, shape: tuple[int, int, int], steps: tuple[int, ...]) -> Hello:
    """What a half says of itself."""
    return Hello(edgecat=software(), configuration=config.sha256, z_shape=shape, classes=config.classes, steps=steps)


def serve(listener: socket.socket, order: Order) -> None:
    """Serve one client after another until one says goodbye; one that breaks the protocol or goes is let go."""
    while True:
        accepted, _ = listener.accept()
        try:
            with Channel(accepted, bytes.fromhex(order.key), dialled=False, patience=order.patience) as channel:
                Session(channel, order).serve()
                return
        except EdgecatError as error:
            print(f"split server: {error}", file=sys.stderr, flush=True)


def _timed(ns: int, **tensors: Tensor) -> bytes:
    return pack({**tensors, "ns": torch.tensor([ns])})


def _trouble(error: EdgecatError) -> bytes:
    kinds = {DataError: "data", ArtifactError: "artifact"}
    return Trouble(kind=kinds.get(type(error), "protocol"), words=str(error)[:2000]).model_dump_json().encode()


def _end_with_parent(address: Path) -> None:
    """Whoever started us holds our stdin; when it goes, so do we, and what it would have cleaned up."""
    sys.stdin.buffer.read()
    with contextlib.suppress(OSError):
        address.unlink()
        address.parent.rmdir()
    os._exit(0)


def main() -> None:
    """Read the order, listen, serve."""
    # Ctrl-C is for the client, which says goodbye or goes.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, args=(Path(order.address),), daemon=True).start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(order.address)
        listener.listen(1)
        print(READY, flush=True)
        serve(listener, order)


if __name__ == "__main__":
    main()
