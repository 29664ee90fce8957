"""What many tests share: one small trained CNN for each kind of image, and its exports, each made once a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from edge.devices.embedded.launch import EmbeddedDevice
    from edge.devices.opening import OpenDevice
    from export.exporting import Exported, Source

# Two cores are shared by the tests, the device and its runners: nobody may spin while it waits.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

CLASSES = ("upper left", "upper right", "lower left", "lower right")


def corner_images(count: int, channels: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise with a brighter corner, uint8 [count, 16, 16, channels], and which corner it is, int64 [count]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = rng.normal(90, 25, (count, 16, 16, channels))
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[row * 8 + 1 : row * 8 + 7, column * 8 + 1 : column * 8 + 7] += rng.uniform(30, 90)
    return np.clip(images, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def source_of() -> Callable[[int], Source]:
    """A trained CNN of two convolutions for 16 x 16 images of so many channels, as the exporters take it.

    It flattens its features: an exporter that confuses NHWC and NCHW is found out.
    """

    @cache
    def make(channels: int) -> Source:
        import torch
        from torch import nn

        from export.exporting import Source
        from victim.step import TrainingSettings
        from victim.training import fit, one_hot

        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = nn.Sequential(
                nn.Conv2d(channels, 8, 3, 2, 1, bias=False),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.Conv2d(8, 8, 3, 2, 1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(128, 4),
            )
        images, labels = corner_images(600, channels, 0)
        settings = TrainingSettings(epochs=4, batch=32, augmented=False, mixup=0.0, bf16=False)
        fit(network, images, one_hot(labels, 4), settings, generator)
        return Source(network, (16, 16, channels), CLASSES, "0" * 64, images, corner_images(500, channels, 1)[0])

    return make


@pytest.fixture(scope="session")
def exported(
    source_of: Callable[[int], Source], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, int], Exported]:
    """The export of `source_of(channels)` by a recipe's name. Tests that use it are marked `export`."""

    @cache
    def make(recipe: str, channels: int = 1) -> Exported:
        from export.exporting import export
        from export.recipes import find_recipe

        return export(source_of(channels), find_recipe(recipe), tmp_path_factory.mktemp(f"{recipe}-{channels}"))

    return make


@pytest.fixture(scope="session")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenDevice]:
    """An embedded device, open. Tests that use it are marked `device`."""
    from edge.devices.embedded.launch import EmbeddedDevice

    with pytest.MonkeyPatch.context() as patch, EmbeddedDevice.start() as device:
        patch.setenv("EDGECAT_STATE_DIR", str(tmp_path_factory.mktemp("state")))
        with reach(device) as opened:
            yield opened


@pytest.fixture(scope="session")
def legacy_packages() -> Path:
    """The packages of `tflite-runtime`, set up in the user's (or CI's) cache as `edgecat runner legacy` does."""
    from edge.runner import legacy
    from foundation.errors import EdgecatError

    try:
        return legacy.set_up()
    except EdgecatError as error:
        pytest.skip(error.message)


def reach(device: EmbeddedDevice) -> OpenDevice:
    """Open a device that was started already."""
    from edge.devices.opening import open_device

    host, port = device.address
    return open_device(f"tcp:{host}:{port}", key=device.key_path)
