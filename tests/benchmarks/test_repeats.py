"""Several processes as one number, and drift within one."""

from __future__ import annotations

import numpy as np
import pytest
from fabricated_records import RecordMaker

from benchmarks.record_set import RecordSet
from benchmarks.records import Latency, Throughput, Validity
from benchmarks.repeats import pooled, spread
from benchmarks.statistics import drift, has_drifted
from benchmarks.summary import summarise
from foundation.errors import DataError


def repeats(maker: RecordMaker, *medians: float, **changes: object) -> list[Latency]:
    made = [maker.latency("tflite_int8", median_us=median) for median in medians]
    return [one.model_copy(update={"repeat": number, **changes}) for number, one in enumerate(made)]


def p50(record: Latency) -> float:
    assert record.latency_us is not None
    return record.latency_us.p50


def test_one_repeat_is_its_own_pool(maker: RecordMaker) -> None:
    (only,) = repeats(maker, 600)
    assert pooled([only]) is only
    assert spread([only]) is None


def test_one_bad_process_of_three_does_not_move_the_pooled_median(maker: RecordMaker) -> None:
    found = repeats(maker, 600, 900, 605)
    one = pooled(found)
    assert one.latency_us is not None
    assert p50(one) == p50(found[2])
    assert one.latency_us.count == 3 * 2600
    assert one.latency_us.max == max(r.latency_us.max for r in found if r.latency_us)
    assert len(one.raw_us) == one.raw_kept == 2000
    assert spread(found) == pytest.approx((p50(found[1]) - p50(found[0])) / p50(found[2]))


def test_a_flag_of_one_repeat_is_a_flag_of_the_pool(maker: RecordMaker) -> None:
    first, second = repeats(maker, 600, 600)
    hot = Validity(min_runs_met=True, min_seconds_met=False, throttled=True, drift=-0.2, drifted=True)
    found = pooled([first, second.model_copy(update={"validity": hot})]).validity
    assert found == hot
    assert pooled([first, second]).validity.throttled is None


def test_what_only_some_repeats_could_tell_is_pooled_over_those(maker: RecordMaker) -> None:
    first, *rest = repeats(maker, 600, 600, 600, cold_load_ms=8.0)
    assert pooled([first.model_copy(update={"cold_load_ms": None}), *rest]).cold_load_ms == 8.0
    assert pooled(repeats(maker, 600, 600)).cold_load_ms is None
    with pytest.raises(DataError):
        pooled([])


def test_only_the_latest_measurement_s_repeats_are_pooled(maker: RecordMaker) -> None:
    older = repeats(maker, 300, 300, 300, run_id="older", artifact_sha256="0" * 64)
    newer = repeats(maker, 600, 610, run_id="newer", artifact_sha256="0" * 64)
    held = RecordSet((maker.device(), *older, *newer))
    ((_, found),) = held.latency_repeats.items()
    assert found == newer
    again = RecordSet((maker.device(), *newer, newer[1].model_copy(update={"load_ms": 1.0})))
    ((_, resumed),) = again.latency_repeats.items()
    assert [one.load_ms for one in resumed] == [4.2, 1.0]


def test_two_builds_of_one_name_in_turns_are_two_measurements(maker: RecordMaker) -> None:
    old = repeats(maker, 300, 310, 305, artifact_sha256="0" * 64)
    new = repeats(maker, 600, 610, 605, artifact_sha256="1" * 64)
    turns = [one for pair in zip(old, new, strict=True) for one in pair]
    ((_, found),) = RecordSet((maker.device(), *turns)).latency_repeats.items()
    assert found == new


def test_the_summary_tells_repeats_their_spread_and_throughput(maker: RecordMaker) -> None:
    device, artifact = maker.device(), maker.artifact("tflite", "int8")
    rate = Throughput(
        run_id=device.run_id, artifact=artifact.name, device_kind=device.device_kind, threads=1, images=512,
        frame_images=256, frames_in_flight=4, seconds=0.25, images_per_second=2048, artifact_bytes=1,
    )  # fmt: skip
    found = repeats(maker, 600, 900, 605)
    (told,) = summarise([device, artifact, *found, rate]).artifacts
    assert (told.latency_repeats, told.latency_spread) == (3, spread(found))
    assert told.latency_us == pooled(found).latency_us
    assert told.images_per_second == 2048
    (once,) = summarise([device, artifact, found[0]]).artifacts
    assert (once.latency_us, once.latency_repeats, once.latency_spread) == (found[0].latency_us, 1, None)
    assert once.images_per_second is None


def steady(count: int = 3000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 500 * np.random.default_rng(5).lognormal(0, 0.1, count)


def test_drift_is_how_much_the_end_is_above_the_beginning() -> None:
    samples = steady() * np.linspace(1, 1.3, 3000)
    assert drift(samples) == pytest.approx(0.3 / 1.15, abs=0.03)
    assert drift(samples[::-1]) == pytest.approx(-0.3 / 1.15, abs=0.03)
    assert has_drifted(samples)
    assert has_drifted(samples[::-1])


def test_steady_noise_with_stalls_is_no_drift() -> None:
    samples = steady()
    samples[-200:] *= 20
    found = drift(samples)
    assert found is not None
    assert abs(found) < 0.02
    assert not has_drifted(samples)


def test_a_step_in_the_last_third_is_drift_though_the_slope_may_hide_it() -> None:
    samples = steady()
    samples[2100:] *= 1.12
    assert has_drifted(samples)


def test_few_samples_tell_of_no_drift() -> None:
    assert drift(steady(29)) is None
    assert has_drifted(steady(29)) is None
    assert has_drifted([]) is None
