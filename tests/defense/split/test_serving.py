"""A server believes no client, and tells it why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from defense.split.channel import Channel
from defense.split.config import SplitConfig
from defense.split.remote import RemoteServer
from defense.split.serving import agreed_for, hello
from defense.split.storage import empty
from defense.split.wire import Kind, pack, parse_trouble
from foundation.errors import DataError, EdgecatError, ProtocolError

from .conftest import config_for, halves

TRAIN = halves(32, 0)
SHAPE = (16, 8, 8)


def _remote(channel: Channel, config: SplitConfig) -> RemoteServer:
    return RemoteServer(channel, hello(config, SHAPE, ()), agreed_for(config, SHAPE))


def _batch(rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(rows, *SHAPE), torch.zeros(rows, dtype=torch.int64)


def test_a_client_of_another_edgecat_is_refused_and_the_next_one_served(serving: Callable[..., Any]) -> None:
    config = config_for(TRAIN)
    with serving(config) as dial:
        other = hello(config, SHAPE, ()).model_copy(update={"edgecat": "99.0"})
        with pytest.raises(ProtocolError, match=r"edgecat .*99\.0"):
            RemoteServer(dial(), other, agreed_for(config, SHAPE))
        answer = _remote(dial(), config).step(*_batch(), 1)
        assert answer.gradient.shape == (4, *SHAPE)


def test_a_client_with_other_settings_is_refused(serving: Callable[..., Any]) -> None:
    config = config_for(TRAIN)
    with serving(config) as dial, pytest.raises(ProtocolError, match="two networks"):
        _remote(dial(), config_for(TRAIN, seed=1))


@pytest.mark.parametrize(
    ("kind", "step", "payload", "words"),
    [
        (Kind.TRAIN, 1, b"garbage", "garbled"),
        (Kind.TRAIN, 1, pack({"z": torch.rand(4, *SHAPE)}), "carries z"),
        (Kind.TRAIN, 7, pack(dict(zip("zy", _batch(), strict=True))), "step 7 after step 0"),
        (Kind.TRAIN, 1, pack({"z": _batch()[0], "y": torch.full((4,), 2)}), "labels 2 to 2"),
        (Kind.TRAIN, 1, pack({"z": _batch()[0], "y": torch.full((4,), -1)}), "labels -1"),
        (Kind.KEEP, 5, b"", "step 5 kept after step 0"),
        (Kind.KEEP, 0, b"more", "4 bytes"),
        (Kind.GO_ON, 3, b"", "no file"),
        (Kind.PULL, 1, pack({"weights": torch.rand(4, 2)}), "not judged"),
        (Kind.HELLO, 0, b"{}", "does not say HELLO here"),
    ],
)
def test_what_a_hostile_client_says_is_refused_in_words_and_the_server_lives(
    serving: Callable[..., Any], kind: Kind, step: int, payload: bytes, words: str
) -> None:
    config = config_for(TRAIN)
    with serving(config) as dial:
        channel = dial()
        _remote(channel, config)
        channel.send(kind, step, payload)
        answer = channel.receive()
        assert answer.kind == Kind.ERROR
        assert words in parse_trouble(answer.payload).words
        assert _remote(dial(), config).logits(_batch()[0]).shape == (4, 2)


def test_a_stranger_without_the_key_is_not_served(serving: Callable[..., Any]) -> None:
    config = config_for(TRAIN)
    with serving(config) as dial:
        with pytest.raises(EdgecatError):
            _remote(dial("cd" * 32), config)
        assert _remote(dial(), config).logits(_batch()[0]).shape == (4, 2)


def test_smashed_data_that_are_no_numbers_are_refused_and_the_step_named(serving: Callable[..., Any]) -> None:
    config = config_for(TRAIN)
    with serving(config) as dial:
        remote = _remote(dial(), config)
        z, y = _batch()
        remote.step(z, y, 1)
        z[0, 0, 0, 0] = float("nan")
        with pytest.raises(DataError, match="step 2"):
            remote.step(z, y, 2)


def test_judged_logits_have_the_gradient_that_the_server_would_have(serving: Callable[..., Any]) -> None:
    config = config_for(TRAIN)
    with serving(config) as dial:
        remote = _remote(dial(), config)
        own = empty(config).eval().server
        z = torch.rand(4, *SHAPE, requires_grad=True)
        (far_slope,) = torch.autograd.grad(remote.module(z).softmax(1)[:, 0].sum(), z)
        (slope,) = torch.autograd.grad(own(z).softmax(1)[:, 0].sum(), z)
        assert torch.allclose(far_slope, slope, atol=1e-6)
        stale = remote.module(z)
        remote.module(z)
        with pytest.raises(DataError, match="only the last"):
            stale.sum().backward()


@pytest.mark.parametrize(("wire", "bytes_a_number"), [("float32", 4), ("bfloat16", 2)])
def test_bytes_are_those_of_smashed_data_labels_and_a_little_more(
    serving: Callable[..., Any], wire: str, bytes_a_number: int
) -> None:
    config = config_for(TRAIN, wire=wire)
    with serving(config) as dial:
        remote = _remote(dial(), config)
        remote.step(*_batch(), 1)
        numbers = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2] * bytes_a_number
        assert numbers + 4 * 8 <= remote.meter.sent < numbers + 4 * 8 + 300
        assert numbers <= remote.meter.received < numbers + 400
        assert 0 < remote.meter.server_ns < remote.meter.waited_ns
