"""Calibration: which images set the ranges of activations, and which ranges came of it; kept beside the model file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torchao.quantization.pt2e.observer import ObserverBase

from foundation.files import replacing

# Images between two states on disk.
_EVERY = 64


class TensorRange(BaseModel):
    """One tensor's range, and how it is stored.

    Attributes:
        name: of the operation that makes it, as the exporter calls it.
        low, high: lowest and highest value that the images gave; None where its observer does not tell.
        scale, zero_point: real = (stored - zero_point) * scale; None where they are set elsewhere.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    low: float | None
    high: float | None
    scale: float | None
    zero_point: int | None


class Calibration(BaseModel):
    """What set a file's ranges.

    Attributes:
        recipe: its name.
        method: `histogram` (PT2E: the range that loses least, of 2,048 bins) or `min_max` (ai-edge-quantizer).
        images: how many.
        images_sha256: of them, in their order; also in the file's manifest.
        ranges: of activations, in the order they are computed.
    """

    model_config = ConfigDict(frozen=True)

    recipe: str
    method: str
    images: int
    images_sha256: str
    ranges: tuple[TensorRange, ...]


@dataclass(frozen=True)
class Written:
    """What came of writing a model file.

    Attributes:
        graph: float32 [1, C, H, W] to logits [1, classes], as exported, before it became a file.
        ranges: that calibration set.
    """

    graph: Callable[[Tensor], Tensor]
    ranges: tuple[TensorRange, ...] = ()


def calibration_path(model: Path) -> Path:
    """Where the record stands beside a model file."""
    return model.with_name(model.name + ".calibration.json")


def observe(prepared: torch.fx.GraphModule, images: Tensor, state: Path | None = None) -> None:
    """Run images through a graph with observers, one at a time.

    Args:
        prepared: of `prepare_pt2e`.
        images: float32 [N, ...], in the network's layout.
        state: file in which the observers' state is kept meanwhile: the same network and images go on where a killed
            calibration stopped. It is removed at the end.
    """
    identity = _identity(prepared, images) if state is not None else ""
    done = _resumed(prepared, state, identity)
    with torch.no_grad():
        for row in range(done, len(images)):
            prepared(images[row : row + 1])
            if state is not None and (row + 1) % _EVERY == 0 and row + 1 < len(images):
                _keep(prepared, state, identity, row + 1)
    if state is not None:
        state.unlink(missing_ok=True)


def observed_ranges(prepared: torch.fx.GraphModule) -> Iterator[TensorRange]:
    """The range of every activation that a graph's observers saw."""
    for name, observer in _observers(prepared):
        scale, zero_point = observer.calculate_qparams()[:2]
        low, high = (getattr(observer, key, None) for key in ("min_val", "max_val"))
        yield TensorRange(
            name=name,
            low=None if low is None else float(low),
            high=None if high is None else float(high),
            scale=float(scale),
            zero_point=int(zero_point),
        )


def _observers(prepared: torch.fx.GraphModule) -> Iterator[tuple[str, ObserverBase]]:
    """Of activations: what they observe, and they themselves. Several may share one."""
    for node in prepared.graph.nodes:
        if node.op == "call_module" and isinstance(observer := prepared.get_submodule(str(node.target)), ObserverBase):
            made = node.args[0]
            if made.op != "get_attr":
                yield made.name, observer


def _identity(prepared: torch.fx.GraphModule, images: Tensor) -> str:
    digest = hashlib.sha256(str(prepared.graph).encode())
    for value in (*prepared.parameters(), images):
        digest.update(value.detach().contiguous().numpy().data)
    return digest.hexdigest()


def _keep(prepared: nn.Module, state: Path, identity: str, done: int) -> None:
    tensors = {name: value.clone().contiguous() for name, value in prepared.state_dict().items()}
    with replacing(state) as temporary:
        save_file(tensors, temporary, metadata={"identity": identity, "done": json.dumps(done)})


def _resumed(prepared: nn.Module, state: Path | None, identity: str) -> int:
    """How many images the observers have seen; what another network or other images left is thrown away."""
    if state is None or not state.is_file():
        return 0
    try:
        with safe_open(state, framework="pt") as kept:
            told = kept.metadata() or {}
            if told.get("identity") != identity:
                return 0
            # Cloned: an observer resizes its buffers in place, which a view of the file does not take.
            prepared.load_state_dict({name: kept.get_tensor(name).clone() for name in kept.keys()})  # noqa: SIM118
            return int(json.loads(told["done"]))
    except (SafetensorError, RuntimeError, KeyError, ValueError):
        return 0
