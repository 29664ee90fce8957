"""One computer at a time on a device, and a lease that nobody has to clean up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.adb.lease import Lease
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import DeviceError

pytestmark = pytest.mark.device

_OTHER = """
import sys
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.adb.lease import Lease
from pathlib import Path
adb = Adb(DirectConnection.tcp("127.0.0.1", int(sys.argv[1]), HostKey(Path(sys.argv[2]))))
with Lease.take(adb, sys.argv[3]):
    print("taken", flush=True)
    sys.stdin.read()
adb.close()
"""


@pytest.fixture
def workdir(device: EmbeddedDevice, tmp_path: Path) -> str:
    return str(device.root / "data/local/tmp" / tmp_path.name)


@pytest.fixture
def adb(device: EmbeddedDevice) -> Iterator[Adb]:
    with open_adb(device) as opened:
        yield opened


def open_adb(device: EmbeddedDevice) -> Adb:
    return Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path)))


@pytest.fixture
def other(device: EmbeddedDevice, workdir: str) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has the device."""
    command = [sys.executable, "-c", _OTHER, str(device.address[1]), str(device.key_path), workdir]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"taken\n"
        yield process
        process.kill()


def take_within(adb: Adb, workdir: str, seconds: float) -> float:
    """Take the lease as soon as it can be had; how long that took."""
    begun = time.monotonic()
    while True:
        try:
            Lease.take(adb, workdir).release()
        except DeviceError:
            if time.monotonic() - begun > seconds:
                raise
            time.sleep(0.02)
        else:
            return time.monotonic() - begun


def test_the_second_process_is_refused_and_told_who_has_the_device(adb: Adb, workdir: str, other) -> None:
    with pytest.raises(DeviceError, match=rf"process {other.pid} of this computer has it since") as caught:
        Lease.take(adb, workdir)
    assert "wait" in (caught.value.hint or "")


def test_a_lease_ends_with_its_holder_s_work(adb: Adb, workdir: str, other) -> None:
    other.stdin.close()
    assert other.wait(5) == 0
    Lease.take(adb, workdir).release()
    assert adb.list(workdir) == {}


def test_a_killed_holder_frees_the_device_within_a_second(adb: Adb, workdir: str, other) -> None:
    other.send_signal(signal.SIGKILL)
    assert take_within(adb, workdir, 1) < 1
    assert adb.list(workdir) == {}


def test_one_process_takes_it_many_times_and_by_several_connections(
    device: EmbeddedDevice, adb: Adb, workdir: str
) -> None:
    with open_adb(device) as second:
        first = Lease.take(adb, workdir)
        again = Lease.take(second, workdir)
        with Lease.take(adb, workdir):
            pass
        first.release()
        first.release()
        # It was held by a shell on `adb`: now by one on `second`.
        adb.close()
        assert set(second.list(workdir)) == {"lease"}
        again.release()
        assert second.list(workdir) == {}


def test_two_roads_to_one_device_share_the_lease(device: EmbeddedDevice, adb: Adb, workdir: str) -> None:
    # A phone's serial, as the adb server knows it, is not its address.
    connected = socket.create_connection(device.address)
    with Adb(DirectConnection.over(connected, "R58M", HostKey(device.key_path))) as other_road:
        first, second = Lease.take(adb, workdir), Lease.take(other_road, workdir)
        first.release()
        assert set(adb.list(workdir)) == {"lease"}
        second.release()
        assert adb.list(workdir) == {}


def test_a_connection_that_broke_does_not_keep_its_own_process_out(device: EmbeddedDevice, workdir: str) -> None:
    broken = open_adb(device)
    lost = Lease.take(broken, workdir)
    broken.close()
    with open_adb(device) as adb:
        with Lease.take(adb, workdir):
            lost.release()
            assert set(adb.list(workdir)) == {"lease"}
        assert adb.list(workdir) == {}


@pytest.mark.parametrize(
    "line",
    [
        "1 0123456789abcdef 0123456789ab 77 {dead} 123 {boot} 1700000000",
        "1 0123456789abcdef 0123456789ab 77 {alive} 123 {boot} 1700000000",
        "1 0123456789abcdef 0123456789ab 77 {alive} {began} another-boot 1700000000",
        "",
        "torn",
    ],
    ids=["dead", "the pid is another program's", "rebooted", "empty", "torn"],
)
def test_a_lease_that_nobody_holds_is_taken_over(adb: Adb, workdir: str, line: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    said = line.format(dead=ended.pid, alive=os.getpid(), began=began, boot=boot)
    adb.push(f"{said}\n".encode(), f"{workdir}/lease")
    assert take_within(adb, workdir, 0) < 2
    assert adb.list(workdir) == {}


def test_a_living_lease_of_another_computer_is_respected(adb: Adb, workdir: str) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    began = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    line = f"1 0123456789abcdef cafecafecafe 77 {os.getpid()} {began} {boot} {int(time.time()) - 30}\n"
    adb.push(line.encode(), f"{workdir}/lease")
    with pytest.raises(DeviceError, match=r"process 77 of another computer \(cafecafecafe\) .* \(3\d s\)"):
        Lease.take(adb, workdir)
    assert adb.check_shell(f"cat {workdir}/lease") == line.encode()


def test_of_many_that_want_a_dead_lease_one_gets_it(device: EmbeddedDevice, adb: Adb, workdir: str) -> None:
    adb.push(b"1 0123456789abcdef 0123456789ab 77 1 0 another-boot 1700000000\n", f"{workdir}/lease")
    command = [sys.executable, "-c", _OTHER, str(device.address[1]), str(device.key_path), workdir]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    try:
        # Who is refused ends with an error; who is not waits for us.
        said = [process.stdout.readline() for process in processes if process.stdout is not None]
        assert sorted(said) == [b""] * 5 + [b"taken\n"]
    finally:
        for process in processes:
            process.communicate()


def test_a_place_that_cannot_be_written_is_said_so(adb: Adb, workdir: str) -> None:
    adb.push(b"a file", workdir)
    with pytest.raises(DeviceError, match=r"File exists|Not a directory"):
        Lease.take(adb, f"{workdir}/below")
