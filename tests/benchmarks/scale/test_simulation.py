"""The simulation of a site: what it must give where one hand alone decides."""

from __future__ import annotations

import pytest

from benchmarks.scale.simulation import Costs, Site, campaign, deployment

FAST = 1e12


def test_a_slow_phone_decides_and_phones_do_not_wait_for_each_other() -> None:
    costs = Costs(host_seconds=1e-6, phone_seconds=1e-3, bytes=4096)
    one = campaign(Site(1, 4, FAST, FAST), costs, 2560)
    assert one.seconds == pytest.approx(2.56, rel=0.01)
    assert one.bottleneck == "phones"
    many = campaign(Site(20, 4, FAST, FAST), costs, 2560)
    assert many.seconds == pytest.approx(one.seconds, rel=0.02)
    assert many.images_per_second == pytest.approx(20 * one.images_per_second, rel=0.02)


def test_cores_are_shared_and_more_of_them_help() -> None:
    costs = Costs(host_seconds=1e-3, phone_seconds=1e-6, bytes=1)
    few, more = (campaign(Site(16, cores, FAST, FAST), costs, 2560) for cores in (2, 8))
    assert few.seconds == pytest.approx(16 * 2.56 / 2, rel=0.02)
    assert few.bottleneck == "cores"
    assert few.core_seconds == pytest.approx(16 * 2.56)
    assert more.seconds == pytest.approx(few.seconds / 4, rel=0.05)


def test_the_link_decides_for_large_images_and_hubs_are_shared() -> None:
    costs = Costs(host_seconds=1e-9, phone_seconds=1e-9, bytes=150_000)
    alone = campaign(Site(1, 2, 30e6, 300e6), costs, 2560)
    assert alone.seconds == pytest.approx(2560 * 150_000 / 30e6, rel=0.02)
    assert alone.bottleneck == "links"
    many = campaign(Site(40, 2, 30e6, 300e6), costs, 2560)
    assert many.seconds == pytest.approx(40 * 2560 * 150_000 / 300e6, rel=0.05)
    assert many.bottleneck == "hub"


def test_embedded_devices_take_the_hosts_cores() -> None:
    costs = Costs(host_seconds=1e-5, phone_seconds=1e-4, bytes=4096)
    found = campaign(Site(8, 2, FAST, FAST, phones_on_cores=True), costs, 2560)
    assert found.seconds == pytest.approx(8 * 2560 * 1.1e-4 / 2, rel=0.05)


def test_training_takes_cores_after_the_answers() -> None:
    costs = Costs(host_seconds=1e-9, phone_seconds=1e-3, bytes=1, train_seconds=10.0)
    found = campaign(Site(4, 2, FAST, FAST), costs, 256)
    assert found.seconds == pytest.approx(0.256 + 20.0, rel=0.01)


def test_a_model_reaches_phones_the_sooner_the_more_are_served_at_once_until_the_cores_are_full() -> None:
    site = Site(100, 2, FAST, FAST)
    seconds = [deployment(site, 10_000_000, 2.0, 0.1, at_once).seconds for at_once in (1, 10, 100)]
    assert seconds[0] == pytest.approx(100 * 2.1, rel=0.01)
    assert seconds[1] == pytest.approx(10 * 2.1, rel=0.1)
    # A tenth of a second of two cores for each of a hundred.
    assert 5.0 <= seconds[2] <= 8.0
