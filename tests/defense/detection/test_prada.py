"""PRADA against its own definition, and against streams of which it is known what they are."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import numbered_images

from defense.detection.growing import GrowingSet
from defense.detection.prada import Prada, PradaSettings, calibrate_band, calibrate_delta, normality
from foundation.errors import DataError, UsageError

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def one_by_one(images: Images) -> tuple[list[float], list[int]]:
    """Distances and members of one class as section 5.2 says it, without any cleverness."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    members, kept, threshold, found = [0], [0.0], 0.0, [float("nan")]
    for row in range(1, len(flat)):
        distance = min(float(np.linalg.norm(flat[row] - flat[member])) for member in members)
        found.append(distance)
        if distance > threshold:
            members.append(row)
            kept.append(distance)
            threshold = max(threshold, float(np.mean(kept) - np.std(kept)))
    return found, members


def clustered(count: int, seed: int) -> Images:
    """Images near and far from each other."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(0, 256, (150, 16, 16, 1))
    drift = rng.normal(0, rng.choice([2.0, 12.0, 40.0], (count, 1, 1, 1)), (count, 16, 16, 1))
    return np.clip(centres[rng.integers(0, 150, count)] + drift, 0, 255).astype(np.uint8)


def harmless(count: int, seed: int) -> tuple[Images, Labels]:
    """Noise: all distances are much alike, as a sum of many small terms is."""
    return numbered_images(count, 10_000 * seed), np.random.default_rng(seed).integers(0, 2, count)


def theft(count: int, seed: int) -> tuple[Images, Labels]:
    """Every image is followed by one that was pushed a little, as Jacobian-based attacks do."""
    images, labels = harmless(count, seed)
    pushed = np.random.default_rng(seed).integers(-8, 9, images.shape)
    images[1::2] = np.clip(images[::2].astype(int) + pushed[1::2], 0, 255)[: len(images[1::2])]
    labels[1::2] = labels[::2][: len(labels[1::2])]
    return images, labels


@pytest.fixture(scope="module")
def delta() -> float:
    return calibrate_delta([harmless(400, seed) for seed in range(1, 9)], PradaSettings(0))


@pytest.mark.parametrize("cut", [300, 1, 7, 64])
def test_distances_are_those_of_the_definition_however_the_stream_is_cut(cut: int) -> None:
    images = clustered(300, 0)
    expected, members = one_by_one(images)
    growing = GrowingSet(1000)
    found = np.concatenate([growing.distances(images[k : k + cut]) for k in range(0, 300, cut)])
    assert 20 < len(members) < 290
    assert len(growing) == len(members)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_images_of_many_pixels_are_compared_exactly() -> None:
    """Squares of this size have no exact float32, and overflow 32-bit sums."""
    white = np.full((1, 200, 200, 3), 255, np.uint8)
    almost = white.copy()
    almost[0, 0, 0, 0] = 254
    growing = GrowingSet(10)
    growing.distances(np.zeros_like(white))
    assert growing.distances(white).tolist() == [255 * np.sqrt(120_000)]
    assert growing.distances(almost).tolist() == [1.0]


def test_a_growing_set_keeps_to_its_capacity() -> None:
    growing = GrowingSet(50)
    found = growing.distances(numbered_images(200))
    assert len(growing) == 50
    assert np.isfinite(found[1:]).all()
    assert found[1:].min() > 0


def test_w_tells_one_heap_of_distances_from_two() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(50, 3, 400)
    two = np.concatenate([rng.normal(50, 3, 200), rng.normal(20, 3, 200)])
    found_one, found_two = normality(one, 100), normality(two, 100)
    assert found_one is not None
    assert found_two is not None
    assert found_one > 0.98 > 0.9 > found_two


@pytest.mark.parametrize("distances", [np.arange(100.0), np.full(500, 3.0), np.empty(0)])
def test_too_few_distances_or_all_the_same_are_not_tested(distances: NDArray[np.float64]) -> None:
    assert normality(distances, 100) is None


def test_a_theft_is_seen_and_noise_is_not(delta: float) -> None:
    alarm = Prada(PradaSettings(delta)).observe(*theft(400, 3))
    assert alarm is not None
    assert 100 < alarm < 200
    for seed in range(20, 30):
        assert Prada(PradaSettings(delta * 0.995)).observe(*harmless(400, seed)) is None


@pytest.mark.parametrize("cut", [1, 13, 256, 400])
def test_how_a_stream_is_cut_never_matters(delta: float, cut: int) -> None:
    images, labels = theft(400, 4)
    whole, parts = Prada(PradaSettings(delta)), Prada(PradaSettings(delta))
    expected = whole.observe(images, labels)
    found = [parts.observe(images[k : k + cut], labels[k : k + cut]) for k in range(0, 400, cut)]
    assert expected is not None
    assert found[-1] == expected
    assert [value for _, value in parts.statistics] == pytest.approx([value for _, value in whole.statistics])
    # Told when it was raised, not before.
    assert all(alarm is None for alarm in found[: expected // cut])


def test_an_alarm_stays() -> None:
    detector = Prada(PradaSettings(1.0))
    first = detector.observe(*harmless(200, 1))
    assert first is not None
    assert detector.observe(*harmless(200, 2)) == first


def test_a_thief_who_comes_late_is_not_drowned_in_patients(delta: float) -> None:
    before, after = harmless(1500, 5), theft(400, 6)
    alarms = []
    for window in (300, None):
        detector = Prada(PradaSettings(delta, window=window))
        assert detector.observe(*before) is None
        alarms.append(detector.observe(*after))
    assert alarms[0] is not None
    assert alarms[0] >= 1500
    assert alarms[1] is None or alarms[1] > alarms[0]


def test_a_victim_of_one_answer_is_watched_too(delta: float) -> None:
    images, _ = theft(400, 7)
    assert Prada(PradaSettings(delta)).observe(images, np.zeros(400, np.int64)) is not None


@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_few_queries_are_no_theft(count: int) -> None:
    images, labels = theft(60, 8)
    assert Prada(PradaSettings(1.0)).observe(images[:count], labels[:count]) is None


def test_a_class_of_few_distances_is_left_out() -> None:
    """Nine classes of a few queries each have no say; the tenth has."""
    images = numbered_images(300)
    labels = np.where(np.arange(300) < 45, np.arange(300) % 9, 9)
    detector = Prada(PradaSettings(0.0, least=50))
    detector.observe(images[:60], labels[:60])
    assert detector.statistics == []
    detector.observe(images[60:], labels[60:])
    assert detector.statistics[0][0] >= 45 + 50


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_delta_allows_as_many_harmless_alarms_as_it_shall(rate: float) -> None:
    streams = [harmless(200, seed) for seed in range(1, 9)]
    found = calibrate_delta(streams, PradaSettings(0), rate)
    alarms = [Prada(PradaSettings(found)).observe(*stream) for stream in streams]
    assert sum(alarm is not None for alarm in alarms) == int(rate * 8)


def test_a_theft_that_is_more_normal_than_patients_are_is_seen_from_above() -> None:
    """Patients in series, each image like the one before; a thief of single images, which PRADA's one side misses."""
    series = [theft(300, seed) for seed in range(1, 7)]
    delta, ceiling = calibrate_band(series, PradaSettings(0))
    assert (Prada(PradaSettings(delta)).name, Prada(PradaSettings(delta, ceiling)).name) == ("prada", "band")
    for stream in series:
        assert Prada(PradaSettings(delta, ceiling)).observe(*stream) is None
    single = harmless(300, 9)
    assert Prada(PradaSettings(delta)).observe(*single) is None
    alarm = Prada(PradaSettings(delta, ceiling)).observe(*single)
    assert alarm is not None
    assert alarm < 150


def test_too_few_harmless_images_calibrate_nothing() -> None:
    with pytest.raises(DataError, match="long enough"):
        calibrate_delta([harmless(60, 1)], PradaSettings(0))


@pytest.mark.parametrize("wrong", [{"delta": 1.5}, {"delta": 0.9, "every": 0}, {"delta": 0.9, "capacity": 0}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        PradaSettings(**wrong)  # type: ignore[arg-type]
