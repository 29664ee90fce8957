"""What a half must remember so that it can go on as if nothing had happened: tensors by name, in safetensors."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from foundation.errors import ArtifactError
from foundation.files import replacing

State = dict[str, Tensor]


def prefixed(prefix: str, state: State) -> State:
    """Every name with `prefix.` before it."""
    return {f"{prefix}.{name}": tensor for name, tensor in state.items()}


def under(prefix: str, state: State) -> State:
    """What `prefixed` marked, by its own names again."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in state.items() if name.startswith(f"{prefix}.")}


def optimizer_state(optimizer: torch.optim.Optimizer) -> State:
    """What an optimiser keeps for each parameter (of Adam: two moments and a count), by `INDEX.NAME`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": value for index, kept in state.items() for name, value in kept.items()}


def load_optimizer_state(optimizer: torch.optim.Optimizer, state: State) -> None:
    """Take back what `optimizer_state` gave; learning rates stay those of the optimiser.

    Raises:
        ArtifactError: it is of another network.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    kept: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        index, _, key = name.partition(".")
        if (
            not index.isdecimal()
            or int(index) >= len(parameters)
            or value.shape not in ((), parameters[int(index)].shape)
        ):
            raise ArtifactError(f"an optimiser's state {name} that fits no parameter")
        # In the parameter's order of memory, which a fused optimiser takes for granted.
        like = torch.empty_like(parameters[int(index)] if value.shape else value, dtype=value.dtype)
        kept.setdefault(int(index), {})[key] = like.copy_(value)
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})


def load_network(network: nn.Module, state: State, what: str) -> None:
    """Weights and running statistics into a network.

    Raises:
        ArtifactError: they are of another network.
    """
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:200]
        raise ArtifactError(f"the {what}'s weights do not fit: {words}") from error


def write_state(path: Path, state: State, header: str) -> None:
    """Write tensors and a header (JSON) to one safetensors file, whole or not at all."""
    with replacing(path) as temporary:
        # Cloned: safetensors refuses tensors that share memory, and orders other than the plain one.
        tensors = {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in state.items()}
        save_file(tensors, temporary, metadata={"edgecat": header})


def read_state(path: Path) -> tuple[State, str]:
    """Tensors and header of a file that `write_state` wrote.

    Raises:
        ArtifactError: missing, torn, or not ours.
    """
    if not path.is_file():
        raise ArtifactError(f"no file {path}")
    try:
        with safe_open(path, framework="pt") as stored:
            header = (stored.metadata() or {})["edgecat"]
            return {name: stored.get_tensor(name) for name in stored.keys()}, header  # noqa: SIM118
    except (SafetensorError, KeyError) as error:
        raise ArtifactError(f"{path} is not a file of ours, or is torn: {str(error).splitlines()[0]}") from error
