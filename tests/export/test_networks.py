"""Somebody's network behind our own's interface: programs, factories, layouts, normalisation, and what is refused."""

from __future__ import annotations

import json
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export.networks import Foreign, load_network
from export.pt2 import load_program
from foundation.errors import ArtifactError, UsageError
from foundation.files import sha256_file

SHAPE = (16, 16, 3)
IMAGES = torch.from_numpy(np.random.default_rng(0).random((5, 3, 16, 16), np.float32))


class Small(nn.Module):
    """Takes channels first; `answers` are what else it gives."""

    def __init__(self, channels: int = 3, classes: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x).flatten(1))
        return logits


class ChannelsLast(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2))


class TwoHeads(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x), super().forward(x)  # type: ignore[return-value]


class Named(Small):
    def forward(self, x: Tensor) -> Tensor:
        return {"logits": super().forward(x)}  # type: ignore[return-value]


def network(kind: type[Small] = Small) -> Small:
    torch.manual_seed(1)
    return kind().eval()


def weights(tmp_path: Path, kind: type[Small] = Small) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(network(kind).state_dict(), path)
    return path


def program(path: Path, kind: type[Small] = Small, *, varies: bool = False) -> Path:
    shapes = ({0: torch.export.Dim("batch", min=1, max=512)},) if varies else None
    sample = IMAGES[: 2 if varies else 1].clone()
    torch.export.save(torch.export.export(network(kind), (sample,), dynamic_shapes=shapes), path)
    return path


@pytest.mark.parametrize("varies", [False, True])
def test_a_program_answers_as_the_network_it_was_made_of(tmp_path: Path, varies: bool) -> None:
    path = program(tmp_path / "net.pt2", varies=varies)
    loaded, digest = load_network(Foreign(str(path)), SHAPE, 4)
    assert digest == sha256_file(path)
    torch.testing.assert_close(loaded(IMAGES), network()(IMAGES))
    torch.testing.assert_close(loaded.train().eval()(IMAGES[:1]), network()(IMAGES[:1]))


def test_a_factory_has_the_weights_of_its_file(tmp_path: Path) -> None:
    loaded, _ = load_network(Foreign(f"{__name__}:Small", weights(tmp_path)), SHAPE, 4)
    torch.testing.assert_close(loaded(IMAGES), network()(IMAGES))


def test_channels_last_and_normalisation_are_part_of_the_network(tmp_path: Path) -> None:
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    foreign = Foreign(f"{__name__}:ChannelsLast", weights(tmp_path, ChannelsLast), "nhwc", mean, std)
    loaded, _ = load_network(foreign, SHAPE, 4)
    wanted = (IMAGES - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    torch.testing.assert_close(loaded(IMAGES), network()(wanted))
    one_for_all, _ = load_network(Foreign(f"{__name__}:Small", weights(tmp_path), mean=(0.5,), std=(0.5,)), SHAPE, 4)
    torch.testing.assert_close(one_for_all(IMAGES), network()(IMAGES * 2 - 1))


@pytest.mark.parametrize(
    ("kind", "words"),
    [("TwoHeads", "gives 2 outputs"), ("Named", "gives 1 outputs"), ("ChannelsLast", "does not take")],
)
def test_what_is_no_classifier_of_such_images_is_refused(tmp_path: Path, kind: str, words: str) -> None:
    with pytest.raises(ArtifactError, match=words) as caught:
        load_network(Foreign(f"{__name__}:{kind}", weights(tmp_path)), SHAPE, 4)
    assert "\n" not in caught.value.message


def test_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    path = program(tmp_path / "net.pt2")
    with pytest.raises(ArtifactError, match=r"gives \(1, 4\)"):
        load_network(Foreign(str(path)), SHAPE, 5)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"\0" * 40)
    for path, words in ((torn, "do not fit"), (tmp_path / "absent.safetensors", "no weights")):
        with pytest.raises(ArtifactError, match=words):
            load_network(Foreign(f"{__name__}:Small", path), SHAPE, 4)
    with pytest.raises(ArtifactError, match="do not fit"):
        load_network(Foreign(f"{__name__}:Small", weights(tmp_path)), SHAPE, 7)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "a:b"}, "wants --weights"),
        ({"weights": Path("w.safetensors")}, "has its weights in it"),
        ({"layout": "chw"}, "unknown layout"),
        ({"std": (0.0,)}, "standard deviation"),
    ],
)
def test_what_cannot_be_asked_for(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Foreign(**({"source": "net.pt2"} | changes))  # type: ignore[arg-type]


def test_two_means_for_three_channels_are_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2 numbers of mean for 3 channels"):
        load_network(Foreign(f"{__name__}:Small", weights(tmp_path), mean=(0.5, 0.5)), SHAPE, 4)


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.place,)


def rewritten(path: Path, changes: dict[str, bytes]) -> Path:
    """A program with other members, or with more of them."""
    with zipfile.ZipFile(path) as old:
        members = {name: old.read(name) for name in old.namelist()}
    folder = next(iter(members)).partition("/")[0]
    members |= {f"{folder}/{name}": data for name, data in changes.items()}
    out = path.with_name("changed.pt2")
    with zipfile.ZipFile(out, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return out


def test_nothing_that_stands_in_a_program_is_run(tmp_path: Path) -> None:
    """As `torch.export.load` would: pickled weights, constants and samples, computed sizes."""
    place = tmp_path / "boom"
    path, bomb = program(tmp_path / "net.pt2"), pickle.dumps(Bomb(place))
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read("net/data/weights/model_weights_config.json"))
        model = json.loads(archive.read("net/models/model.json"))
    name = next(iter(told["config"]))
    told["config"][name]["use_pickle"] = True
    constant = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    model["range_constraints"] = {"s0": {"expr_str": f"__import__('pathlib').Path({str(place)!r}).touch()"}}
    changes: tuple[dict[str, bytes], ...] = (
        {"data/weights/model_weights_config.json": json.dumps(told).encode(), "data/weights/weight_0": bomb},
        {"data/constants/model_constants_config.json": json.dumps({"config": {"c": constant}}).encode()},
        {"data/constants/custom_obj_0": bomb},
        {"data/sample_inputs/model.pt": bomb},
        {"data/weights/model.pt": bomb},
        {"models/model.json": json.dumps(model).encode()},
        {"models/other.json": b"{}"},
    )
    for change in changes:
        with pytest.raises(ArtifactError):
            load_program(rewritten(path, change))
    assert not place.exists()
    assert isinstance(load_program(rewritten(path, {})), nn.Module)


def test_a_guard_is_not_run(tmp_path: Path) -> None:
    place = tmp_path / "boom"
    path = program(tmp_path / "net.pt2")
    with zipfile.ZipFile(path) as archive:
        model = json.loads(archive.read("net/models/model.json"))
    model["guards_code"] = [f"__import__('pathlib').Path({str(place)!r}).touch() is None"]
    loaded = load_program(rewritten(path, {"models/model.json": json.dumps(model).encode()}))
    torch.testing.assert_close(loaded(IMAGES[:1]), network()(IMAGES[:1]))
    assert not place.exists()


def test_spoilt_programs_are_artifact_errors(tmp_path: Path) -> None:
    path = program(tmp_path / "net.pt2")
    whole = path.read_bytes()
    chance = np.random.default_rng(0)
    spoilt = [b"", b"PK\3\4", whole[:-100], whole[: len(whole) // 2]]
    for _ in range(30):
        changed = bytearray(whole)
        changed[int(chance.integers(len(whole)))] ^= 0xFF
        spoilt.append(bytes(changed))
    for data in spoilt:
        path.write_bytes(data)
        # A changed byte of a weight, or of padding, may be opened; nothing else may come of it.
        with suppress(ArtifactError):
            assert isinstance(load_program(path), nn.Module)
    with pytest.raises(ArtifactError, match="no exported program"):
        load_program(tmp_path / "absent.pt2")
