"""The client's half as a model file, in its runtime and on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from defense.protections import find_protection
from defense.split.config import SplitConfig
from defense.split.costs import Costs
from defense.split.device import POLICY, DeviceClient, answer, bytes_leaving, compare, export_client, exported_client
from defense.split.halves import SplitSettings
from defense.split.model import SplitModel, build_split
from defense.split.storage import SplitRecord, Stored
from defense.split.training import train_split
from export.recipes import find_recipe
from foundation.answers import Answers
from foundation.errors import CheckFailed, DataError, UsageError
from victim.step import as_input

from .conftest import halves

if TYPE_CHECKING:
    from edge.devices.opening import OpenDevice


def _model(protection: str, shape: tuple[int, int, int], **cut: int) -> SplitModel:
    generator = torch.Generator().manual_seed(0)
    return build_split(shape, 2, find_protection(protection), generator, **cut).eval()


def _stored(protection: str, shape: tuple[int, int, int]) -> Stored:
    train = halves(128, 0, shape)
    settings = SplitSettings(epochs=6, batch=16)
    chosen = find_protection(protection)
    model = train_split(train.images, train.labels, 2, chosen, settings)
    config = SplitConfig(protection=protection, image_shape=shape, classes=2, images=128, settings=settings)
    sha256 = "1" * 64
    record = SplitRecord(
        config=config,
        dataset="halves",
        dataset_sha256="0" * 64,
        class_names=("upper", "lower"),
        processes=False,
        history=(),
        costs=Costs(),
        accuracy=1.0,
        seconds=1.0,
        client_sha256=sha256,
        server_sha256=sha256,
    )
    return Stored(model, record)


@pytest.mark.parametrize(("protection", "shape"), [("none", (16, 16, 3)), ("psgl", (15, 17, 1))])
def test_smashed_data_that_went_flat_give_the_servers_answers(protection: str, shape: tuple[int, int, int]) -> None:
    model, images = _model(protection, shape), halves(5, 1, shape).images
    client = DeviceClient(model, shape).eval()
    with torch.no_grad():
        flat = client(as_input(images)).numpy()
        z = torch.from_numpy(flat).reshape(5, *client.shape)
        expected = model.server(z).numpy()
    assert flat.shape == (5, 16 * 8 * -(-shape[1] // 2))
    assert np.allclose(answer(model, client, flat), expected, atol=1e-6)
    if protection == "none":
        with torch.no_grad():
            assert np.allclose(flat, model.smashed(as_input(images)).flatten(1).numpy(), atol=1e-6)
    with pytest.raises(DataError):
        answer(model, client, flat[:, :-1])


def test_a_protection_that_draws_noise_is_not_sent_to_a_device_without_it() -> None:
    with pytest.raises(UsageError, match="draws noise"):
        DeviceClient(_model("noise:0.5", (16, 16, 1)), (16, 16, 1))


def test_more_than_an_answer_can_carry_is_told_before_anything_is_exported() -> None:
    with pytest.raises(UsageError, match="65536"):
        DeviceClient(_model("none", (64, 64, 1), width=64), (64, 64, 1))


def test_a_file_that_answers_otherwise_does_not_pass_the_gate() -> None:
    shape = (16, 16, 1)
    model, images = _model("none", shape), halves(20, 1, shape).images
    client = DeviceClient(model, shape).eval()
    with torch.no_grad():
        own = client(as_input(images)).numpy()
    same = compare(model, client, images, own)
    assert same.agreement == 1.0
    assert same.relative_rms < 1e-6
    same.demand(find_recipe("tflite_fp32"))
    mixed = compare(
        model, client, images, own + 5 * np.abs(own).max() * np.sin(np.arange(own.shape[1], dtype=np.float32))
    )
    assert mixed.relative_rms > 1
    with pytest.raises(CheckFailed, match="parity gate on 20 images"):
        type(mixed)(20, 0.5, 0.3).demand(find_recipe("tflite_int8"))


@pytest.mark.filterwarnings("error")
def test_smashed_data_as_they_come_off_a_wire_are_taken() -> None:
    model = _model("none", (16, 16, 1))
    client = DeviceClient(model, (16, 16, 1)).eval()
    frozen = np.frombuffer(bytes(4 * 2 * client.width), np.float32).reshape(2, client.width)
    assert answer(model, client, frozen).shape == (2, 2)


def test_bytes_that_leave_are_those_of_one_frame() -> None:
    numbers = 1024
    answers = Answers(
        POLICY,
        numbers,
        np.tile(np.arange(numbers, dtype=np.uint16), (3, 1)),
        np.zeros((3, numbers), np.float32),
        np.zeros(3, np.uint32),
    )
    assert 4 * numbers < bytes_leaving(answers) < 4 * numbers + 64


@pytest.mark.export
@pytest.mark.device
@pytest.mark.parametrize(
    ("protection", "shape", "recipe", "agreement"),
    [
        ("psgl", (15, 17, 1), "tflite_int8", 0.97),
        ("none", (16, 16, 3), "executorch_fp32", 1.0),
    ],
)
def test_a_device_and_a_server_answer_as_both_halves_do_here(
    phone: OpenDevice,
    tmp_path: Path,
    protection: str,
    shape: tuple[int, int, int],
    recipe: str,
    agreement: float,
) -> None:
    from edge.deployment import RunnerOptions, deploy

    stored, chosen = _stored(protection, shape), find_recipe(recipe)
    unseen = halves(500, 9, shape)
    artifact, parity = export_client(stored, chosen, tmp_path, halves(128, 8, shape).images, unseen.images)
    parity.demand(chosen)
    found = exported_client(stored, chosen, tmp_path)
    assert found is not None
    assert found.manifest == artifact.manifest
    with deploy(phone, artifact, POLICY, RunnerOptions("python")) as deployed:
        answers = deployed.query(unseen.images[:100])
    assert answers.scores is not None
    client = DeviceClient(stored.model, shape).eval()
    on_device = compare(stored.model, client, unseen.images[:100], answers.scores)
    assert on_device.agreement >= agreement
    assert on_device.relative_rms < (0.1 if "int8" in recipe else 1e-4)
    best = answer(stored.model, client, answers.scores).argmax(1)
    assert (best == unseen.labels[:100]).mean() > 0.9
