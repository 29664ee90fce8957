"""A user's exported program (`.pt2`, by `torch.export.save`), opened without running anything that stands in it.

`torch.export.load` unpickles weights, constants and sample inputs where a file says so, evaluates the text of symbolic
sizes, and a program's `module()` runs the text of its guards. So a file is looked through before torch opens it: what
needs any of that is refused, and guards are left out.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foundation.errors import ArtifactError, first_line

# What `torch.export.save` of torch 2.13 writes, below one folder.
_KNOWN = re.compile(
    r"data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt|models/model\.json|archive_format|archive_version|byteorder|\.data/\w+"
)
_CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
# A size that may vary, by its name and what is known of it, and no formula.
_PLAIN_SIZE = re.compile(r"-?\d+|[su]\d+|Symbol\('[su]\d+'(, (positive|nonnegative|integer)=True)*\)")
_HINT = "save it anew with torch.export.save of torch 2.13, or give module:factory and --weights FILE.safetensors"


def load_program(path: Path) -> nn.Module:
    """The network in a file, as a module in evaluation mode.

    Raises:
        ArtifactError: no such file, torn, or one that only code in it could open.
    """
    if not path.is_file():
        raise ArtifactError(f"no exported program {path}")
    data = path.read_bytes()
    try:
        _look_through(data, path)
        # The same bytes that were looked through, whatever happens to the file meanwhile.
        program = torch.export.load(io.BytesIO(data))
        network: nn.Module = program.module(check_guards=False)
        # A program is what it was exported as; switching it raises, and everybody switches a network before use.
        for switch in ("train", "eval"):
            network.__dict__.pop(switch, None)
    except ArtifactError:
        raise
    except Exception as error:
        raise ArtifactError(
            f"{path} is not an exported program, or is torn: {first_line(error)}", hint=_HINT
        ) from error
    return network


def _look_through(data: bytes, path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        folders = {name.partition("/")[0] for name in names}
        # Twice the same name could be one file to us and another to torch.
        if len(folders) != 1 or len(set(names)) != len(names):
            raise _refused(path, "it holds more than one program")
        inside = {name.partition("/")[2]: name for name in names}
        for short in inside:
            if not _KNOWN.fullmatch(short):
                raise _refused(path, f"it holds {short}")
        for config in _CONFIGS:
            _demand_plain_tensors(json.loads(archive.read(inside[config])), path)
        _demand_plain_sizes(json.loads(archive.read(inside["models/model.json"])), path)
        if (sample := inside.get("data/sample_inputs/model.pt")) is not None:
            # torch falls back to unpickling anything where this fails.
            torch.load(io.BytesIO(archive.read(sample)), weights_only=True)


def _demand_plain_tensors(document: Any, path: Path) -> None:
    for name, entry in document["config"].items():
        if entry["use_pickle"] or not re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]):
            raise _refused(path, f"{name} is pickled, which could run anything")


def _demand_plain_sizes(node: Any, path: Path) -> None:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            size = one.get("expr_str")
            if size is not None and not _PLAIN_SIZE.fullmatch(str(size)):
                raise _refused(path, f"a size is computed ({str(size)[:40]})")
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _refused(path: Path, why: str) -> ArtifactError:
    return ArtifactError(f"{path} is not opened: {why}", hint=_HINT)
