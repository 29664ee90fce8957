"""A site that asks phones: hosts with cores and a link to each phone, simulated event by event (SimPy).

A batch goes through three hands: a core of the host packs it and keeps its answers, the phone's link carries it, the
phone takes it in and answers. Batches of one phone overlap as they do in `edge.deployed`: so many frames are under way.
Training thieves takes cores of the hosts. What a phone needs for one image is a setting: it is the phone's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from edge.deployed import FRAME_IMAGES, FRAMES_IN_FLIGHT

_Steps = Generator[simpy.Event, Any, None]


@dataclass(frozen=True)
class Costs:
    """What one image, and one thief, cost.

    Attributes:
        host_seconds: of a host's core for one image: packing, sending, receiving, the ledger.
        phone_seconds: of the phone for one image.
        bytes: of one image on the link.
        train_seconds: of a host's core to train one thief.
        batch: images in one frame.
    """

    host_seconds: float
    phone_seconds: float
    bytes: int
    train_seconds: float = 0.0
    batch: int = FRAME_IMAGES


@dataclass(frozen=True)
class Site:
    """Hosts and phones.

    Attributes:
        phones: how many.
        cores: of all hosts together.
        link_bytes: a phone's link carries so many a second.
        hub_bytes: all links of a site together carry so many a second.
        phones_on_cores: phones are processes of the hosts (embedded devices): what they compute takes the hosts' cores.
    """

    phones: int
    cores: int
    link_bytes: float
    hub_bytes: float
    phones_on_cores: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a campaign took.

    Attributes:
        seconds: from the first batch to the last answer or thief.
        images_per_second: over those seconds.
        core_seconds: of the hosts' cores.
        link_bytes: carried.
        busy: share of the time that cores, the hub, the phones' links and the phones (means) worked; the highest is the
            bottleneck.
    """

    seconds: float
    images_per_second: float
    core_seconds: float
    link_bytes: float
    busy: dict[str, float]

    @property
    def bottleneck(self) -> str:
        """What was busy most of the time."""
        return max(self.busy, key=lambda name: self.busy[name])


class _Work:
    """Time that was spent, by whom."""

    def __init__(self, site: Site) -> None:
        self.environment = simpy.Environment()
        self.cores = simpy.Resource(self.environment, site.cores)
        self.hub = simpy.Resource(self.environment, 1)
        self.spent = {"cores": 0.0, "hub": 0.0, "links": 0.0, "phones": 0.0}

    def take(self, resource: simpy.Resource, seconds: float, *names: str) -> _Steps:
        with resource.request() as turn:
            yield turn
            yield self.environment.timeout(seconds)
        for name in names:
            self.spent[name] += seconds


def campaign(site: Site, costs: Costs, images: int) -> Outcome:
    """Ask every phone about so many images, and train a thief on the answers of each.

    Args:
        site: who asks whom.
        costs: what that takes.
        images: for each phone, at least 1.
    """
    work = _Work(site)
    for _ in range(site.phones):
        work.environment.process(_phone(work, site, costs, images))
    work.environment.run()
    seconds = work.environment.now
    shares = {
        "cores": work.spent["cores"] / (seconds * site.cores),
        "hub": work.spent["hub"] / seconds,
        "links": work.spent["links"] / (seconds * site.phones),
        "phones": work.spent["phones"] / (seconds * site.phones),
    }
    total = images * site.phones
    return Outcome(seconds, total / seconds, work.spent["cores"], float(total * costs.bytes), shares)


def _phone(work: _Work, site: Site, costs: Costs, images: int) -> _Steps:
    phone, link = simpy.Resource(work.environment, 1), simpy.Resource(work.environment, 1)
    on_their_way = simpy.Resource(work.environment, FRAMES_IN_FLIGHT)
    frames = []
    for first in range(0, images, costs.batch):
        turn = on_their_way.request()
        yield turn
        count = min(costs.batch, images - first)
        frame = _frame(work, site, costs, count, phone, link)
        frames.append(work.environment.process(_let_go(frame, on_their_way, turn)))
    yield work.environment.all_of(frames)
    if costs.train_seconds:
        yield from work.take(work.cores, costs.train_seconds, "cores")


def _let_go(frame: _Steps, on_their_way: simpy.Resource, turn: Any) -> _Steps:
    yield from frame
    on_their_way.release(turn)


def _frame(work: _Work, site: Site, costs: Costs, count: int, phone: simpy.Resource, link: simpy.Resource) -> _Steps:
    yield from work.take(work.cores, count * costs.host_seconds, "cores")
    size = count * costs.bytes
    with link.request() as turn:
        yield turn
        # The hub is taken for its own share of the time, the link for all of it.
        alone = size / site.link_bytes
        shared = min(alone, size / site.hub_bytes)
        work.spent["links"] += alone
        yield from work.take(work.hub, shared, "hub")
        yield work.environment.timeout(alone - shared)
    seconds = count * costs.phone_seconds
    if site.phones_on_cores:
        with phone.request() as turn:
            yield turn
            yield from work.take(work.cores, seconds, "cores", "phones")
    else:
        yield from work.take(phone, seconds, "phones")


def deployment(site: Site, model_bytes: int, seconds_each: float, core_seconds_each: float, at_once: int) -> Outcome:
    """Push a model to every phone, start it and ask a few known images.

    Args:
        site: who pushes to whom.
        model_bytes: what travels to a phone, model and runner.
        seconds_each: of a phone and of waiting for it, besides the link and the core.
        core_seconds_each: of a host's core.
        at_once: phones that are served at the same time.
    """
    work = _Work(site)
    served = simpy.Resource(work.environment, at_once)

    def phone() -> _Steps:
        with served.request() as turn:
            yield turn
            yield from work.take(work.cores, core_seconds_each, "cores")
            alone = model_bytes / site.link_bytes
            shared = min(alone, model_bytes / site.hub_bytes)
            yield from work.take(work.hub, shared, "hub")
            yield work.environment.timeout(alone - shared + seconds_each)
        work.spent["phones"] += alone - shared + seconds_each

    for _ in range(site.phones):
        work.environment.process(phone())
    work.environment.run()
    seconds = work.environment.now
    shares = {"cores": work.spent["cores"] / (seconds * site.cores), "hub": work.spent["hub"] / seconds}
    shares["phones at once"] = work.spent["phones"] / (seconds * at_once)
    return Outcome(seconds, 0.0, work.spent["cores"], float(model_bytes * site.phones), shares)
