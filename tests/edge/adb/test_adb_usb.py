"""adb over USB: transfers and packets, time-outs in their middle, and a cable that is pulled. No real bus is here."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from adb_shell.exceptions import UsbWriteFailedError

from edge.adb import usb
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.adb.link import MessageLink
from edge.adb.messages import WRTE
from edge.adb.usb import UsbDevice, UsbTransport, list_usb_devices, open_usb
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import DeviceError

from .usb_phone import FakeUsbError, UsbPhone

pytestmark = pytest.mark.device


@pytest.fixture
def plug(device: EmbeddedDevice) -> Iterator[Callable[..., tuple[Adb, UsbPhone]]]:
    """Plug a phone in and connect to it."""
    opened: list[tuple[Adb, UsbPhone]] = []

    def connect(packet: int = 512, **how: object) -> tuple[Adb, UsbPhone]:
        phone = UsbPhone(device.address, packet, **how)  # type: ignore[arg-type]
        adb = Adb(DirectConnection(UsbTransport(phone, "usb:R58M", packet), HostKey(device.key_path)))
        opened.append((adb, phone))
        return adb, phone

    yield connect
    for adb, phone in opened:
        adb.close()
        assert phone.closed
        assert not phone.violations


@pytest.mark.parametrize("packet", [64, 512, 1024])
@pytest.mark.parametrize("empty_packets", [False, True])
def test_transfers_of_every_size_keep_to_the_packets(plug, tmp_path: Path, packet: int, empty_packets: bool) -> None:
    adb, _ = plug(packet, empty_packets=empty_packets)
    place = f"data/local/tmp/{tmp_path.name}"
    for size in (0, 1, packet - 1, packet, packet + 1, 8 * packet, 300_000, 1 << 20):
        data = os.urandom(size)
        adb.push(data, f"{place}/file")
        adb.pull(f"{place}/file", tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == data
        with adb.start("cat") as session:
            session.write(data)
            assert session.read(size) == data
    assert adb.serial == "usb:R58M"


def test_time_outs_in_the_middle_of_transfers_lose_nothing(plug, tmp_path: Path) -> None:
    adb, _ = plug(chance=random.Random(7))
    data = os.urandom(2 << 20)
    assert adb.push_verified(data, f"data/local/tmp/{tmp_path.name}/file")
    adb.pull(f"data/local/tmp/{tmp_path.name}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == data


def test_four_threads_share_the_bus(plug) -> None:
    adb, _ = plug()
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda n: adb.shell(f"echo {n}; exit {n % 5}"), range(80)))
    assert [(result.stdout, result.exit_code) for result in said] == [(f"{n}\n".encode(), n % 5) for n in range(80)]


def test_an_unplugged_phone_wakes_everybody_within_a_second_and_burns_no_cpu(plug) -> None:
    adb, phone = plug()
    session = adb.start("cat")
    woken: list[float] = []

    def wait() -> None:
        with pytest.raises(DeviceError, match="unplugged"):
            session.read(1)
        woken.append(time.monotonic())

    reader = threading.Thread(target=wait)
    reader.start()
    time.sleep(0.3)
    begun = time.monotonic()
    phone.unplug()
    reader.join(5)
    assert woken[0] - begun < 1
    spent = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - spent < 0.15
    with pytest.raises(DeviceError):
        adb.shell("true")


def test_a_phone_unplugged_in_the_middle_of_a_push_ends_it_within_a_second(plug) -> None:
    adb, phone = plug()
    threading.Timer(0.2, phone.unplug).start()
    begun = time.monotonic()
    with pytest.raises(DeviceError):
        adb.push(bytes(512 << 20), "data/local/tmp/unplugged")
    assert time.monotonic() - begun < 1.2


def test_the_bus_is_not_given_back_under_a_transfer(device: EmbeddedDevice) -> None:
    phone = UsbPhone(device.address, 512)
    begun, go_on, closed_under_it = threading.Event(), threading.Event(), []

    def write(*_: object) -> int:
        begun.set()
        go_on.wait(5)
        closed_under_it.append(phone.closed)
        raise UsbWriteFailedError("write", FakeUsbError(-4))

    phone.bulk_write = write  # type: ignore[method-assign]
    link = MessageLink(UsbTransport(phone, "usb:R58M", 512))
    with ThreadPoolExecutor(2) as pool:
        sending = pool.submit(link.send, WRTE, 1, 1, b"data")
        begun.wait(5)
        releasing = pool.submit(link.release)
        with pytest.raises(TimeoutError):
            releasing.result(0.2)
        go_on.set()
        releasing.result(5)
        with pytest.raises(DeviceError):
            sending.result(5)
    assert closed_under_it == [False]
    assert phone.closed


def test_closing_ends_a_wait_for_a_silent_phone(device: EmbeddedDevice) -> None:
    phone = UsbPhone(device.address, 512)
    transport = UsbTransport(phone, "usb:R58M", 512)
    threading.Timer(0.1, transport.close).start()
    begun = time.monotonic()
    with pytest.raises(DeviceError, match="closed"):
        transport.receive(24)
    assert time.monotonic() - begun < 1
    transport.release()
    assert phone.closed


def test_a_limit_of_time_keeps_what_came_before_it(device: EmbeddedDevice) -> None:
    phone = UsbPhone(device.address, 512)
    transport = UsbTransport(phone, "usb:R58M", 512)
    transport.set_timeout(0.1)
    phone._packets.put(b"0123456789")
    with pytest.raises(TimeoutError):
        transport.receive(24)
    phone._packets.put(b"abcdefghijklmn")
    assert transport.receive(24) == b"0123456789abcdefghijklmn"
    transport.release()


def test_without_libusb_nothing_is_listed_and_opening_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usb1", None)
    monkeypatch.delitem(sys.modules, "adb_shell.transport.usb_transport", raising=False)
    assert list_usb_devices() == []
    with pytest.raises(DeviceError, match="libusb") as caught:
        open_usb("R58M")
    assert "edgecat[usb]" in (caught.value.hint or "")


class _Handle:
    """What adb-shell gives for a phone, as far as it can be seen without one."""

    def __init__(self, error: Exception | None) -> None:
        self._error = error

    def connect(self) -> None:
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize(
    ("number", "told", "hint"),
    [
        (-3, "no permission", "udev"),
        (-6, "adb server", "kill-server"),
        (-4, "unplugged", "plug"),
        (-1, "cannot", "plug"),
    ],
)
def test_a_phone_that_cannot_be_opened_says_why(
    monkeypatch: pytest.MonkeyPatch, number: int, told: str, hint: str
) -> None:
    bus = [(UsbDevice("R58M"), _Handle(FakeUsbError(number)))]
    _fake_bus(monkeypatch, bus)
    with pytest.raises(DeviceError, match=told) as caught:
        open_usb("R58M")
    assert hint in (caught.value.hint or "")


def test_a_phone_that_is_not_there_names_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_bus(monkeypatch, [(UsbDevice("R58N"), _Handle(None))])
    with pytest.raises(DeviceError, match="no phone R58M") as caught:
        open_usb("R58M")
    assert "usb:R58N" in (caught.value.hint or "")
    _fake_bus(monkeypatch, [(UsbDevice(None), _Handle(None))])
    with pytest.raises(DeviceError, match="no permission"):
        open_usb("R58M")


def _fake_bus(monkeypatch: pytest.MonkeyPatch, bus: list[tuple[UsbDevice, _Handle]]) -> None:
    module = types.ModuleType("usb1")
    module.USBError = FakeUsbError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "usb1", module)
    monkeypatch.setattr(usb, "_find", lambda: iter(bus))
