"""From a device spec to an open device, and clear words where there is none."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.adb.keys import make_key
from edge.adb.server import ServerDevice
from edge.adb.usb import UsbDevice
from edge.devices import emulator_records, emulators, listing, opening
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.information import device_kind, hash_serial
from edge.devices.listing import ListedDevice, list_devices, server_note
from edge.devices.opening import open_device
from foundation.errors import AuthError, DeviceError, UsageError


@contextmanager
def _adb_server(devices: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What an adb server answers to `host:devices`: phones cannot be plugged in by a test."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                asked, _ = listener.accept()
            except OSError:
                return
            with asked:
                if asked.recv(4, socket.MSG_WAITALL) and asked.recv(1024) == b"host:devices":
                    asked.sendall(b"OKAY" + f"{len(devices):04x}{devices}".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(listener.getsockname()[1]))
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.device
def test_the_embedded_device_is_made_for_the_occasion_and_gone_after_it() -> None:
    with open_device("embedded") as device:
        root = Path(device.info.workdir).parents[3]
        assert root.is_dir()
        assert device.info.kind == "embedded"
        assert device.info.spec == "embedded"
        assert device.info.abi in ("x86_64", "arm64-v8a")
        assert re.fullmatch(r"[0-9a-f]{12}", device.info.serial_hash)
        assert device.adb.check_shell(f"cd {device.info.workdir} && pwd").decode().strip() == device.info.workdir
    assert not root.exists()


@pytest.mark.device
def test_records_of_two_embedded_devices_of_one_computer_name_one_device() -> None:
    with open_device() as first, open_device() as second:
        assert first.info.serial_hash == second.info.serial_hash
        assert first.adb.serial != second.adb.serial


@pytest.mark.device
def test_a_device_on_tcp_wants_its_key(device: EmbeddedDevice, tmp_path: Path) -> None:
    spec = f"tcp:{device.address[0]}:{device.address[1]}"
    with open_device(spec, device.key_path) as opened:
        assert opened.adb.shell("echo hi").stdout == b"hi\n"
        assert opened.info.spec == spec
    with pytest.raises(AuthError):
        open_device(spec, make_key(tmp_path / "foreign").path)
    with pytest.raises(UsageError, match="absent"):
        open_device(spec, tmp_path / "absent")


def test_a_port_where_nobody_listens_is_a_device_error_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeviceError, match="refused") as caught:
        open_device(f"tcp:127.0.0.1:{port}")
    assert caught.value.hint


def test_a_phone_on_usb_is_opened_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(serial: str) -> None:
        raise DeviceError(f"no phone {serial} on USB")

    monkeypatch.setattr(opening, "open_usb", missing)
    with pytest.raises(DeviceError, match="no phone R58M on USB"):
        open_device("usb:R58M")


def test_phones_on_usb_are_listed_but_not_those_that_the_server_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "list_server_devices", lambda: [ServerDevice("R58M", "unauthorized")])
    bus = [UsbDevice("R58M"), UsbDevice("R58N"), UsbDevice(None, "add udev rules")]
    monkeypatch.setattr(listing, "list_usb_devices", lambda: bus)
    listed = {device.spec: device for device in listing.list_devices()}
    assert listed["serial:R58M"].state == "unauthorized"
    assert "confirm" in (listed["serial:R58M"].hint or "")
    assert (listed["usb:R58N"].state, listed["usb:R58N"].hint) == ("usb", None)
    assert (listed["usb:?"].state, listed["usb:?"].hint) == ("no permissions", "add udev rules")
    assert "usb:R58M" not in listed


def test_no_phone_and_no_server_is_a_device_error_with_a_hint() -> None:
    with pytest.raises(DeviceError, match="no device") as caught:
        open_device("serial")
    assert "embedded" in (caught.value.hint or "")


def test_two_phones_and_no_choice_names_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        _adb_server("AAA\tdevice\nBBB\tdevice\n", monkeypatch),
        pytest.raises(DeviceError, match="2 devices and no choice") as caught,
    ):
        open_device("serial")
    assert "serial:AAA, serial:BBB" in (caught.value.hint or "")


def test_a_phone_that_is_not_confirmed_is_listed_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with _adb_server("AAA\tunauthorized\nBBB\toffline\n", monkeypatch):
        listed = {device.spec: device for device in list_devices()}
        with pytest.raises(DeviceError, match="no device that can be used"):
            open_device("serial")
    assert "confirm" in (listed["serial:AAA"].hint or "")
    assert listed["serial:BBB"].state == "offline"
    assert not listed["serial:BBB"].usable


def test_without_a_server_only_our_own_devices_are_listed() -> None:
    listed = {device.spec: device for device in list_devices()}
    assert sorted(listed) == ["embedded", "sandbox:arm64-v8a", "sandbox:x86_64", "vm:arm64-v8a"]
    assert listed.pop("embedded").state == "ready"
    assert all(device.state in ("ready", "not built") or device.hint for device in listed.values())
    assert "--scan" in (server_note() or "")


@pytest.mark.parametrize(
    ("properties", "serial", "kind"),
    [
        (
            {"ro.product.manufacturer": "Google", "ro.product.model": "Pixel 8", "ro.hardware": "zuma"},
            "37X",
            "physical",
        ),
        ({"ro.product.manufacturer": "Google", "ro.hardware": "ranchu"}, "37X", "emulated"),
        ({"ro.product.manufacturer": "Google", "ro.kernel.qemu": "1"}, "37X", "emulated"),
        ({"ro.product.manufacturer": "Google", "ro.hardware": "zuma"}, "emulator-5554", "emulated"),
        ({"edgecat.kind": "embedded", "ro.product.manufacturer": "x"}, "37X", "embedded"),
        ({"edgecat.kind": "sandbox", "ro.product.manufacturer": "x"}, "37X", "emulated"),
        ({}, "37X", "emulated"),
    ],
)
def test_a_device_counts_as_physical_only_if_nothing_speaks_against_it(
    properties: dict[str, str], serial: str, kind: str
) -> None:
    assert device_kind(properties, serial) == kind


def test_serials_are_hashed_with_a_salt_of_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hash_serial("R58M")
    assert first == hash_serial("R58M") != hash_serial("R58N")
    salt = next((tmp_path / "home").rglob("serial-salt"))
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    monkeypatch.setenv("HOME", str(tmp_path / "another"))
    assert hash_serial("R58M") != first


def test_listing_devices_loads_neither_torch_nor_numpy_nor_adbutils() -> None:
    heavy = ("torch", "numpy", "adbutils", "cryptography", "pydantic")
    script = f"import sys, edge.devices.listing, edge.devices.opening; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.device
def test_an_emulator_stays_until_it_is_stopped() -> None:
    record = emulators.start("bench")
    try:
        assert emulators.start("bench") == record
        assert emulators.list_running() == [record]
        assert ListedDevice in {type(device) for device in list_devices() if device.spec == "emulator:bench"}
        with open_device("emulator:bench") as by_name, open_device(f"tcp:127.0.0.1:{record.address[1]}") as by_address:
            by_name.adb.push(b"seen by both", "note")
            assert by_address.adb.check_shell("cat note") == b"seen by both"
        assert stat.S_IMODE(record.key.stat().st_mode) == 0o600
    finally:
        assert emulators.stop("bench")
    assert not record.root.exists()
    assert not emulators.stop("bench")
    assert emulators.list_running() == []
    with pytest.raises(DeviceError, match="no emulator 'bench'") as caught:
        open_device("emulator:bench")
    assert "edgecat emulator start --name bench" in (caught.value.hint or "")


@pytest.mark.device
def test_an_emulator_outlives_the_process_that_started_it() -> None:
    script = "from edge.devices import emulators; print(emulators.start('other').pid)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    record = emulators.find("other")
    assert record.pid == int(done.stdout)
    with open_device("emulator:other") as device:
        assert device.adb.shell("echo alive").stdout == b"alive\n"
    assert emulators.stop("other")


@pytest.mark.device
def test_a_record_whose_pid_is_somebody_else_s_is_dropped_and_nobody_is_killed() -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        record = emulators.start("lost")
        assert emulators.stop("lost")
        emulator_records.write(replace(record, pid=bystander.pid))
        assert not emulators.stop("lost")
        emulator_records.write(replace(record, pid=bystander.pid))
        assert emulators.list_running() == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_torn_record_is_dropped(tmp_path: Path) -> None:
    place = tmp_path / "home/emulators/torn.json"
    place.parent.mkdir(parents=True)
    place.write_text('{"pid": 1')
    assert emulators.list_running() == []
    assert not place.exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", "-x", "x" * 65])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        emulators.start(name)
