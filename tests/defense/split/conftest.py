"""A small task that a split network learns in seconds, and a server in a thread of the test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from defense.split.channel import Channel
from defense.split.config import SplitConfig
from defense.split.halves import SplitSettings
from defense.split.processes import Client
from defense.split.serving import Order, serve
from defense.split.training import Labelled

KEY = "ab" * 32


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def halves(count: int, seed: int, shape: tuple[int, int, int] = (16, 16, 1)) -> Labelled:
    """Noise, uint8 [count, *shape], whose upper (label 0) or lower half (1) is brighter."""
    rng = np.random.default_rng(seed)
    images, labels = rng.normal(100, 15, (count, *shape)), rng.integers(0, 2, count)
    middle = shape[0] // 2
    images[labels == 0, :middle] += 60
    images[labels == 1, middle:] += 60
    return Labelled(np.clip(images, 0, 255).astype(np.uint8), labels)


def config_for(train: Labelled, epochs: int = 2, batch: int = 16, **others: object) -> SplitConfig:
    """A training on those images."""
    words = {"image_shape": train.images.shape[1:], "classes": 2, "images": len(train)}
    return SplitConfig.model_validate(words | {"settings": SplitSettings(epochs=epochs, batch=batch)} | others)


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., object]:
    """Serve in a thread: a context manager that gives what dials the server."""

    @contextmanager
    def run(config: SplitConfig, patience: float = 20.0, **others: object) -> Iterator[Callable[..., Channel]]:
        address = str(tmp_path / "s")
        shape = Client(config, halves(1, 0), tmp_path).shape
        words = {"config": config, "z_shape": shape, "directory": tmp_path, "address": address, "key": KEY}
        order = Order.model_validate(words | {"patience": patience} | others)
        with ExitStack() as stack:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen(1)
            thread = threading.Thread(target=_serve, args=(listener, order), daemon=True)
            thread.start()
            stack.callback(thread.join, 10)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)

            def dial(key: str = KEY) -> Channel:
                dialled = socket.socket(socket.AF_UNIX)
                dialled.connect(address)
                return stack.enter_context(Channel(dialled, bytes.fromhex(key), dialled=True, patience=patience))

            yield dial

    return run


def _serve(listener: socket.socket, order: Order) -> None:
    # The test hangs up in the end.
    with suppress(OSError):
        serve(listener, order)
