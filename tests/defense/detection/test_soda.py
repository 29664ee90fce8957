"""The out-of-domain detector on images of known kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from victims_in_process import half_images, numbered_images

from defense.detection.detector import false_alarms, watch
from defense.detection.features import layer_features
from defense.detection.gaussian import ClassGaussians
from defense.detection.sequential import CalibrationSettings
from defense.detection.soda import Soda, SodaModel, soda_false_alarms
from defense.detection.streams import patient_order, patient_streams
from foundation.errors import DataError
from victim.dataset import Split
from victim.models import build

NOISE = numbered_images(200)


def split(count: int, seed: int, each: int = 1) -> Split:
    images = half_images(count, seed)
    return Split(
        images,
        (images[:, 8:].mean((1, 2, 3)) > images[:, :8].mean((1, 2, 3))).astype(np.int64),
        np.arange(count) // each,
    )


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build("plain", 1, 2, torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def model(network: nn.Module) -> SodaModel:
    settings = CalibrationSettings(sessions=400)
    return SodaModel.fit(network, split(600, 1), split(300, 2), np.random.default_rng(0), settings)


def test_strange_images_raise_the_alarm_and_patients_do_not(model: SodaModel) -> None:
    alarm = Soda(model).observe(NOISE, np.zeros(200, np.int64))
    assert alarm is not None
    assert model.test.least - 1 <= alarm < model.test.least + 5
    assert Soda(model).observe(half_images(500, 3), np.zeros(500, np.int64)) is None


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_how_a_stream_is_cut_never_matters(model: SodaModel, cut: int) -> None:
    stream = np.concatenate([half_images(60, 4), NOISE])
    labels = np.zeros(len(stream), np.int64)
    parts = Soda(model)
    found = [parts.observe(stream[k : k + cut], labels[k : k + cut]) for k in range(0, len(stream), cut)]
    assert found[-1] == Soda(model).observe(stream, labels)
    assert found[-1] is not None
    assert found[-1] >= 60


def test_nothing_asked_is_nothing_seen(model: SodaModel) -> None:
    assert Soda(model).observe(NOISE[:0], np.empty(0, np.int64)) is None


def test_false_alarms_are_those_of_a_detector_that_sees_the_images(model: SodaModel) -> None:
    """Scored once or stream by stream; here a third of the patients are strange."""
    images = np.concatenate([half_images(80, 5), NOISE[:40]])
    mixed = Split(images, np.zeros(120, np.int64), np.arange(120) // 2)
    streams = list(patient_streams(mixed.images, mixed.labels, mixed.patients, 20, np.random.default_rng(1)))
    slow = false_alarms(lambda: Soda(model), streams)
    quick = soda_false_alarms(model, mixed, 20, np.random.default_rng(1))
    assert quick == slow
    assert 0 < quick.rate <= 1
    assert quick.interval[0] <= quick.rate <= quick.interval[1]


def test_each_depth_of_a_network_is_looked_at(network: nn.Module) -> None:
    found = layer_features(network, NOISE[:9])
    # Four convolutions' channels, and what the linear layer takes.
    assert found.shape == (9, 16 + 32 + 64 + 128 + 128)
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    with torch.inference_mode():
        own = first(torch.from_numpy(NOISE[:9]).permute(0, 3, 1, 2) / 255).mean((2, 3))
    np.testing.assert_allclose(found[:, :16], own.numpy(), atol=1e-5)
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())


def test_a_network_without_layers_to_look_into_is_refused() -> None:
    with pytest.raises(DataError, match="look into"):
        layer_features(nn.Flatten(), NOISE[:2])


def test_distances_are_mahalanobis_to_the_nearest_class() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    labels = rng.integers(0, 2, 20_000)
    features = rng.normal(size=(20_000, 3)) @ mixing.T + labels[:, None] * 5
    found = ClassGaussians.fit(features, labels).distances(np.array([[0.0, 0, 0], [5, 5, 5], [1, 2, 3]]))
    precision = np.linalg.inv(mixing @ mixing.T)
    last = min(gap @ precision @ gap for gap in (np.array([1.0, 2, 3]), np.array([-4.0, -3, -2])))
    assert found[:2] == pytest.approx(0, abs=0.02)
    assert found[2] == pytest.approx(last, rel=0.1)


def test_features_that_never_change_and_more_features_than_images_are_no_fault() -> None:
    rng = np.random.default_rng(1)
    features = np.concatenate([rng.normal(size=(30, 80)), np.ones((30, 5))], axis=1)
    fitted = ClassGaussians.fit(features, np.zeros(30, np.int64))
    assert np.isfinite(fitted.distances(features)).all()
    with pytest.raises(DataError):
        ClassGaussians.fit(np.full((30, 2), np.nan), np.zeros(30, np.int64))


def test_patients_come_whole_and_once() -> None:
    patients = np.random.default_rng(0).integers(0, 9, 60)
    order = patient_order(patients, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(60))
    runs = 1 + np.count_nonzero(np.diff(patients[order]))
    assert runs == len(np.unique(patients))
    assert order.tolist() != patient_order(patients, np.random.default_rng(2)).tolist()
    assert len(patient_order(patients, np.random.default_rng(1), 10)) == 10
    with pytest.raises(DataError):
        patient_order(np.empty(0, np.int64), np.random.default_rng(0))


def test_watching_ends_when_all_have_raised_their_alarm(model: SodaModel) -> None:
    batches = [(NOISE[k : k + 50], np.zeros(50, np.int64)) for k in range(0, 200, 50)]
    taken = iter(batches)
    (found,) = watch([Soda(model)], taken)
    assert found.alarm is not None
    assert (found.detector, found.observed) == ("soda", 50)
    assert model.test.least <= found.alarm < model.test.least + 6
    assert len(list(taken)) == 3
    (never,) = watch([Soda(model)], [(half_images(30, 6), np.zeros(30, np.int64))])
    assert (never.alarm, never.observed) == (None, 30)
