"""One model on eight emulated devices, and back where it is unwell."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.deployed import DeployedModel
from edge.devices import emulators
from edge.devices.emulator_records import EmulatorRecord
from edge.devices.opening import OpenDevice, open_device
from edgecat.fleets import member
from edgecat.fleets.deploying import Deployment, deploy_fleet
from edgecat.fleets.fleet_file import CheckSettings, Fleet
from edgecat.fleets.health import KnownImages, known_images
from edgecat.fleets.pointer import ActiveModel, write_active
from edgecat.fleets.status import look
from foundation.errors import CheckFailed, DataError, DeviceError
from foundation.manifest import Artifact

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def phones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[EmulatorRecord]]:
    """Eight devices that keep running."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGECAT_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        started = []
        try:
            started = [emulators.start(f"phone{number}") for number in range(8)]
            yield started
        finally:
            for record in started:
                emulators.stop(record.name)


@pytest.fixture(scope="module")
def fleet(phones: list[EmulatorRecord]) -> Fleet:
    """All of them."""
    return Fleet(devices=tuple(phone.spec for phone in phones), runner="python")


@pytest.fixture(scope="module")
def models(exported: Callable[..., Any]) -> tuple[Artifact, Artifact]:
    """The model that the fleet has, and the next."""
    return exported("tflite_fp32").artifact, exported("tflite_int8").artifact


@pytest.fixture(scope="module")
def first(fleet: Fleet, models: tuple[Artifact, Artifact]) -> Deployment:
    """The first model, deployed to all eight."""
    return deploy_fleet(fleet, models[0])


@pytest.fixture
def three(fleet: Fleet, first: Deployment, models: tuple[Artifact, Artifact]) -> Iterator[Fleet]:
    """Three of them, which use the first model; they are made to again after the test."""
    three = fleet.model_copy(update={"devices": fleet.devices[:3]})
    yield three
    for spec, digest in zip(three.devices, used(three), strict=True):
        if digest != first.sha256:
            with open_device(spec) as device:
                path = f"{device.info.workdir}/models/{first.sha256[:16]}-{models[0].path.name}"
                write_active(device, ActiveModel.now(path, models[0].manifest))


def used(fleet: Fleet) -> list[str | None]:
    """SHA-256 of what each device uses."""
    return [None if one.active is None else one.active.sha256 for one in look(fleet).devices]


def states(deployment: Deployment) -> list[str]:
    return [one.state for one in deployment.devices]


def unwell_on(monkeypatch: pytest.MonkeyPatch, *specs: str, asked: int = 1) -> None:
    """Let the known images be answered wrongly on these devices, from the `asked`-th time on."""
    times = dict.fromkeys(specs, 0)
    real = KnownImages.agreement

    def agreement(known: KnownImages, model: DeployedModel) -> float:
        answered = real(known, model)
        if model.spec not in times:
            return answered
        times[model.spec] += 1
        return 0.25 if times[model.spec] >= asked else answered

    monkeypatch.setattr(KnownImages, "agreement", agreement)


def test_all_eight_get_the_model_and_it_is_whole_there(
    first: Deployment, fleet: Fleet, phones: list[EmulatorRecord], models: tuple[Artifact, Artifact]
) -> None:
    assert states(first) == ["deployed"] * 8
    assert [one.agreement for one in first.devices] == [1.0] * 8
    first.complete_or_fail()
    digest = models[0].manifest.sha256
    assert used(fleet) == [digest] * 8
    for phone in phones:
        assert phone.root is not None
        active = json.loads(next(phone.root.rglob("active.json")).read_text())
        assert Path(active["path"]).read_bytes() == models[0].path.read_bytes()
        assert not list(phone.root.rglob("*.partial"))


def test_unwell_on_one_device_before_the_change_nobody_changes(
    three: Fleet, models: tuple[Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwell_on(monkeypatch, three.devices[1])
    deployment = deploy_fleet(three, models[1])
    assert states(deployment) == ["returned", "unwell", "returned"]
    assert deployment.rolled_back
    assert used(three) == [models[0].manifest.sha256] * 3
    with pytest.raises(CheckFailed, match="1 of 3 devices"):
        deployment.complete_or_fail()


def test_unwell_on_one_device_after_the_change_all_return(
    three: Fleet, models: tuple[Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = look(three)
    unwell_on(monkeypatch, three.devices[2], asked=2)
    deployment = deploy_fleet(three, models[1])
    assert states(deployment) == ["returned", "returned", "unwell"]
    assert look(three) == before


def test_so_many_failures_as_are_allowed_hold_nobody_back(
    three: Fleet, models: tuple[Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    unwell_on(monkeypatch, three.devices[0], asked=2)
    old, new = (model.manifest.sha256 for model in models)
    deployment = deploy_fleet(three.model_copy(update={"max_failures": 1}), models[1])
    assert states(deployment) == ["unwell", "deployed", "deployed"]
    assert not deployment.rolled_back
    assert used(three) == [old, new, new]


def test_an_interruption_in_the_middle_of_the_change_brings_all_back(
    three: Fleet, models: tuple[Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = member.Member.activate

    def interrupted(one: member.Member, *words: Any) -> None:
        real(one, *words)
        if one.spec == three.devices[1]:
            raise KeyboardInterrupt

    monkeypatch.setattr(member.Member, "activate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        deploy_fleet(three, models[1])
    assert used(three) == [models[0].manifest.sha256] * 3


def test_devices_that_cannot_are_told_and_the_others_go_on(
    three: Fleet, phones: list[EmulatorRecord], models: tuple[Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is not there, on one nothing can be written, one is of a processor without a runner."""

    def opened(spec: str) -> OpenDevice:
        device = open_device(spec)
        if spec == phones[2].spec:
            device.info = replace(device.info, abi="mips")
        return device

    monkeypatch.setattr(member, "open_device", opened)
    root = phones[1].root
    assert root is not None
    folder = next(root.rglob("models"))
    aside = folder.rename(folder.with_name("aside"))
    folder.write_bytes(b"in the way")
    devices = ("emulator:nowhere", phones[1].spec, phones[2].spec, phones[0].spec)
    try:
        deployment = deploy_fleet(three.model_copy(update={"devices": devices, "runner": "native"}), models[1])
    finally:
        folder.unlink()
        aside.rename(folder)
    assert states(deployment) == ["failed", "failed", "failed", "deployed"]
    assert [one.abi for one in deployment.devices] == [None, "x86_64", "mips", "x86_64"]
    old, new = (model.manifest.sha256 for model in models)
    assert used(three) == [new, old, old]
    with pytest.raises(DeviceError, match="3 of 4 devices"):
        deployment.complete_or_fail()


def test_a_file_that_was_changed_on_the_device_is_told(three: Fleet, phones: list[EmulatorRecord]) -> None:
    root = phones[0].root
    assert root is not None
    model = Path(json.loads(next(root.rglob("active.json")).read_text())["path"])
    kept = model.with_name("kept")
    shutil.copy(model, kept)
    model.write_bytes(model.read_bytes()[:-1])
    try:
        status = look(three)
    finally:
        kept.replace(model)
    assert [one.state for one in status.devices] == ["damaged", "active", "active"]
    with pytest.raises(CheckFailed, match=phones[0].name):
        status.complete_or_fail()


# --- known images


def known(directory: Path, artifact: Artifact, **arrays: Any) -> KnownImages:
    np.savez(directory / "known.npz", **arrays)
    return known_images(CheckSettings(images=directory / "known.npz", min_agreement=0.5), artifact)


def test_known_images_of_ones_own_are_taken(models: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    images = np.zeros((5, 16, 16, 1), np.uint8)
    found = known(tmp_path, models[0], images=images, labels=np.arange(5)[:, None] % 4)
    assert found.labels.tolist() == [0, 1, 2, 3, 0]
    found.judge(0.5)
    with pytest.raises(CheckFailed, match="3 of 5"):
        found.judge(0.4)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((3, 16, 16, 1), np.uint8)},
        {"images": np.zeros((3, 8, 8, 1), np.uint8), "labels": np.zeros(3, int)},
        {"images": np.zeros((3, 16, 16, 1)), "labels": np.zeros(3, int)},
        {"images": np.zeros((3, 16, 16, 1), np.uint8), "labels": np.zeros(2, int)},
        {"images": np.zeros((3, 16, 16, 1), np.uint8), "labels": np.full(3, 4)},
        {"images": np.zeros((0, 16, 16, 1), np.uint8), "labels": np.zeros(0, int)},
    ],
    ids=["no labels", "size", "dtype", "count", "class", "none"],
)
def test_known_images_that_do_not_fit_are_refused(
    models: tuple[Artifact, Artifact], tmp_path: Path, arrays: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match=r"known\.npz"):
        known(tmp_path, models[0], **arrays)
