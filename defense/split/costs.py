"""What each step of training took: raw, one number a step."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields

import torch
from torch import Tensor

from defense.split.halves import Meter

COLUMNS = ("client_ms", "server_ms", "channel_ms", "bytes_up", "bytes_down")


@dataclass
class Costs:
    """Five lists of one length, a number for each step.

    Attributes:
        client_ms: milliseconds that the client computed; in one process also what it judged with the server's network.
        server_ms: milliseconds that the server computed.
        channel_ms: the rest: packing, sending, waiting. 0 where both are in one process.
        bytes_up: from client to server, messages whole; 0 in one process.
        bytes_down: from server to client.
    """

    client_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    channel_ms: list[float] = field(default_factory=list)
    bytes_up: list[float] = field(default_factory=list)
    bytes_down: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.client_ms)

    @contextmanager
    def step(self, meter: Meter) -> Iterator[None]:
        """Measure the `with` block as one step of a client whose server has that meter."""
        before, start = astuple(meter), time.perf_counter_ns()
        yield
        whole = time.perf_counter_ns() - start
        waited, server, sent, received = (now - then for now, then in zip(astuple(meter), before, strict=True))
        row = ((whole - waited) / 1e6, server / 1e6, (waited - server) / 1e6, sent, received)
        for column, value in zip(fields(self), row, strict=True):
            getattr(self, column.name).append(float(value))

    def tensor(self) -> Tensor:
        """float64 [5, steps]: the rows are `COLUMNS`."""
        return torch.tensor([getattr(self, name) for name in COLUMNS], dtype=torch.float64).reshape(len(COLUMNS), -1)

    def medians(self) -> dict[str, float]:
        """Over the steps, one or more, by the names of `COLUMNS`."""
        return dict(zip(COLUMNS, self.tensor().median(dim=1).values.tolist(), strict=True))

    @classmethod
    def of(cls, table: Tensor) -> Costs:
        """The way back from `tensor`."""
        return cls(*(row.tolist() for row in table))
