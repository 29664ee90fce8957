"""What a sandbox shuts in, what it lacks as a phone does, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.devices import emulators, isolated
from edge.devices.opening import open_device
from edge.devices.sandbox import arm64, launch
from edge.devices.system import loader
from edge.devices.system.launch import IsolatedDevice
from edge.devices.system.rootfs import rootfs_directory
from foundation.errors import DeviceError, UsageError

from ..waiting import becomes, lives

pytestmark = pytest.mark.device

ABIS = ["x86_64", "arm64-v8a"]
_USUAL_LOADERS = {"x86_64": b"/lib64/ld-linux-x86-64.so.2\0", "arm64-v8a": b"/lib/ld-linux-aarch64.so.1\0"}


@pytest.fixture(scope="module", params=ABIS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[IsolatedDevice]:
    _need(request.param)
    with launch.start(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def inside(sandbox: IsolatedDevice) -> Iterator[Adb]:
    with _connected(sandbox) as adb:
        yield adb


@pytest.fixture
def _x86_64() -> None:
    _need("x86_64")


def test_only_the_device_s_own_file_system_is_there(inside: Adb) -> None:
    names = set(inside.check_shell("ls /").decode().split())
    assert names == {"apex", "bin", "data", "dev", "etc", "mnt", "proc", "sdcard", "storage", "sys", "system", "vendor"}
    # The first process has entered the device too, and is nobody else's to look into.
    assert inside.shell("ls /proc/1/root/").exit_code
    assert str(rootfs_directory("x86_64").parent) not in inside.check_shell("cat /proc/mounts").decode()


def test_programs_are_shell_without_any_rights(inside: Adb) -> None:
    assert inside.check_shell("id").startswith(b"uid=2000(shell) gid=2000(shell)")
    status = inside.check_shell("cat /proc/self/status").decode().split("\n")
    kept = dict(line.split(":\t") for line in status if line.startswith(("CapPrm", "CapEff", "NoNewPrivs")))
    assert {int(value, 16) for name, value in kept.items() if name.startswith("Cap")} == {0}
    assert inside.shell("mount -t tmpfs none /mnt").exit_code
    assert inside.shell("touch /system/x").exit_code


def test_its_network_is_its_own_loopback(sandbox: IsolatedDevice, inside: Adb) -> None:
    assert inside.check_shell("cat /proc/net/dev").decode().count(":") == 1
    own, ours = (Path(f"/proc/{pid}/ns/net").readlink() for pid in (sandbox.device_pid, "self"))
    assert own != ours
    assert sandbox.address is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 5555), 1).close()


def test_only_its_owner_can_ask_for_a_connection(sandbox: IsolatedDevice) -> None:
    assert stat.S_IMODE(sandbox.directory.stat().st_mode) == 0o700
    assert stat.S_ISSOCK(sandbox.socket_path.stat().st_mode)


def test_a_glibc_program_finds_no_interpreter_but_runs_with_one_of_its_own(
    sandbox: IsolatedDevice, inside: Adb
) -> None:
    toybox = (rootfs_directory(sandbox.abi) / "system/bin/toybox").read_bytes()
    usual = _USUAL_LOADERS[sandbox.abi]
    ordinary = toybox.replace((loader.LOADER.encode() + b"\0").ljust(len(usual), b"\0"), usual)
    assert ordinary != toybox
    place = "/data/local/tmp/ordinary"
    inside.push(ordinary, f"{place}/echo", 0o755)
    inside.check_shell(f"cp {loader.LOADER} {loader.LIBRARIES}/lib*.so.* {place}/")
    refused = inside.shell(f"{place}/echo it runs")
    assert refused.exit_code in (126, 127, 255)
    assert b"No such file or directory" in refused.stderr
    carried = inside.shell(f"cd {place} && ./ld.so --library-path {place} ./echo it runs")
    assert (carried.exit_code, carried.stdout) == (0, b"it runs\n")


def test_nothing_on_the_sdcard_can_be_run(inside: Adb) -> None:
    inside.push(b"#!/bin/sh\necho ran\n", "/sdcard/script", 0o755)
    refused = inside.shell("/sdcard/script")
    assert refused.exit_code == 126
    assert b"ermission denied" in refused.stderr


def test_there_is_no_python(inside: Adb) -> None:
    assert inside.shell("python3 -c 1; python -c 1").exit_code == 127


def test_a_terminal_is_to_be_had(inside: Adb) -> None:
    stream = inside.open("shell,v2,TERM=vt100,pty:tty")
    seen = b""
    while (piece := stream.receive_some()) != b"":
        seen += piece
    assert b"/dev/pts/" in seen


@pytest.mark.skipif(not arm64.needed(), reason="the processor is a real one")
@pytest.mark.parametrize("sandbox", ["arm64-v8a"], indirect=True)
def test_an_arm64_sandbox_shows_an_arm64_processor(inside: Adb) -> None:
    cores = os.cpu_count() or 1
    said = inside.check_shell("cat /proc/cpuinfo").decode()
    assert said.count("CPU implementer\t: 0x41") == said.count("CPU part\t: 0xd0b") == cores
    assert "model name" not in said
    online = inside.check_shell("cat /sys/devices/system/cpu/online").decode().strip()
    assert online == (f"0-{cores - 1}" if cores > 1 else "0")


@pytest.mark.usefixtures("_x86_64")
def test_data_is_as_large_as_was_asked_for() -> None:
    with launch.start("x86_64", data_bytes=8 << 20) as device, _connected(device) as adb:
        assert adb.check_shell("df -k /data/local/tmp").decode().split("\n")[1].split()[1] == "8192"


@pytest.mark.usefixtures("_x86_64")
def test_killed_adbd_is_started_again_and_what_is_on_the_device_stays() -> None:
    with launch.start("x86_64") as device:
        with _connected(device) as adb:
            adb.push(b"kept", "/data/local/tmp/note")
            device.kill_adbd()
            assert becomes(lambda: not adb.connection.alive)
        with _connected(device) as adb:
            assert adb.check_shell("cat /data/local/tmp/note") == b"kept"


@pytest.mark.usefixtures("_x86_64")
def test_zombies_are_buried() -> None:
    with launch.start("x86_64") as device, _connected(device) as adb:
        adb.check_shell("for i in 1 2 3 4 5; do (setsid sleep 0.01 &) ; done")
        assert becomes(lambda: b" Z " not in adb.check_shell("ps -A -o pid,s,name"))


@pytest.mark.usefixtures("_x86_64")
def test_a_port_serves_other_clients_side_by_side() -> None:
    with launch.start("x86_64", port=0) as device:
        assert device.address is not None
        host, port = device.address
        assert host == "127.0.0.1"
        with Adb(DirectConnection.tcp(host, port)) as first, Adb(DirectConnection.tcp(host, port)) as second:
            content = os.urandom(2_000_000)
            first.push(content, "/data/local/tmp/file")
            assert second.shell("cat /data/local/tmp/file").stdout == content
            with second.start("cat") as session:
                session.write(b"there and back")
                assert session.read(14) == b"there and back"
            device.kill_adbd()
            assert becomes(lambda: not first.connection.alive)


@pytest.mark.usefixtures("_x86_64")
def test_a_port_that_is_taken_says_so() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(DeviceError, match=r"did not start.*[Aa]ddress already in use"),
    ):
        launch.start("x86_64", port=taken.getsockname()[1])


@pytest.mark.usefixtures("_x86_64")
def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rootfs").mkdir()
    monkeypatch.setattr(launch, "build", lambda _: (tmp_path / "rootfs", None))
    # Short: a socket's path has no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="e") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", None)
        with pytest.raises(DeviceError, match=r"did not start.*No such file"):
            launch.start("x86_64")
        assert list(Path(folder).glob("edgecat-*")) == []


@pytest.mark.usefixtures("_x86_64")
def test_stopping_ends_all_of_it_and_may_be_done_twice() -> None:
    device = launch.start("x86_64")
    with _connected(device) as adb:
        adb.check_shell("(setsid sleep 300 >/dev/null 2>&1 &)")
    assert device.running
    device.stop()
    device.stop()
    assert not device.running
    assert not lives(device.device_pid)
    assert not device.directory.exists()
    with pytest.raises(DeviceError, match="cannot connect"):
        device.connect()


@pytest.mark.usefixtures("_x86_64")
def test_it_ends_when_its_parent_is_killed() -> None:
    script = (
        "import json, time\n"
        "from edge.devices.sandbox import launch\n"
        "device = launch.start('x86_64')\n"
        "print(json.dumps([device.pid, device.device_pid, str(device.directory)]), flush=True)\n"
        "time.sleep(300)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path.cwd())
    assert parent.stdout is not None
    keeper, first, directory = json.loads(parent.stdout.readline())
    assert lives(first)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert becomes(lambda: not lives(keeper) and not lives(first))
    assert not Path(directory).exists()


@pytest.mark.usefixtures("_x86_64")
def test_a_killed_keeper_takes_the_device_with_it() -> None:
    with launch.start("x86_64") as device:
        os.kill(device.pid, signal.SIGKILL)
        assert becomes(lambda: not lives(device.device_pid))


@pytest.mark.usefixtures("_x86_64")
def test_sigterm_ends_it_cleanly() -> None:
    with launch.start("x86_64") as device:
        os.kill(device.pid, signal.SIGTERM)
        assert becomes(lambda: not device.running)
        assert not device.directory.exists()


@pytest.mark.usefixtures("_x86_64")
def test_connections_leave_nothing_behind() -> None:
    with launch.start("x86_64") as device:

        def census() -> int:
            return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (device.pid, device.device_pid))

        before = census()
        for _ in range(20):
            device.connect().close()
        assert becomes(lambda: census() == before)


@pytest.mark.usefixtures("_x86_64")
def test_a_kept_sandbox_is_found_by_name() -> None:
    record = emulators.start(device="sandbox:x86_64", options=isolated.StartOptions(data_bytes=16 << 20))
    try:
        assert record.spec == "emulator:sandbox-x86_64"
        assert record.address is None
        assert emulators.start(device="sandbox:x86_64") == record
        with pytest.raises(UsageError, match="runs already"):
            emulators.start(record.name, "embedded")
        with open_device(record.spec) as device:
            assert device.info.kind == "emulated"
            device.adb.push(b"kept", "/data/local/tmp/note")
        with open_device(record.spec) as device:
            assert device.adb.check_shell("cat /data/local/tmp/note") == b"kept"
    finally:
        assert emulators.stop(record.name)
    assert not record.directory.exists()
    assert not record.lives()


def test_a_spec_makes_a_sandbox_for_the_occasion(sandbox: IsolatedDevice) -> None:
    with open_device(f"sandbox:{sandbox.abi}") as device:
        assert device.info.abi == sandbox.abi
        assert device.info.workdir == "/data/local/tmp/edgecat"
        assert device.adb.serial == f"sandbox:{sandbox.abi}"


@pytest.mark.usefixtures("_x86_64")
def test_options_of_another_kind_are_refused() -> None:
    with pytest.raises(UsageError, match="memory"):
        isolated.start("sandbox:x86_64", isolated.StartOptions(memory_bytes=1 << 28))
    with pytest.raises(UsageError, match="no emulated device 'sandbox:mips'"):
        open_device("sandbox:mips")


def test_what_is_missing_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_kernel_version", lambda: (6, 1))
    monkeypatch.setattr(arm64, "needed", lambda: True)
    assert any("6.7" in reason and "vm:arm64-v8a" in reason for reason in launch.missing("arm64-v8a"))
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert launch.missing("x86_64")[0].startswith("sandboxes need Linux")
    with pytest.raises(DeviceError, match="cannot run here") as caught:
        launch.start("x86_64")
    assert "Linux" in (caught.value.hint or "")


def test_namespaces_that_cannot_be_made_are_found_by_trying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "unshare").write_text("#!/bin/sh\necho unshare: Operation not permitted >&2; exit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    launch.missing_in_kernel.cache_clear()
    try:
        (reason,) = launch.missing_in_kernel()
    finally:
        launch.missing_in_kernel.cache_clear()
    assert "Operation not permitted" in reason
    assert "--security-opt" in reason


def _need(abi: str) -> None:
    reasons = launch.missing(abi)
    if reasons:
        pytest.skip("; ".join(reasons))


@contextlib.contextmanager
def _connected(device: IsolatedDevice) -> Iterator[Adb]:
    with Adb(DirectConnection.over(device.connect(), f"sandbox:{device.abi}")) as adb:
        yield adb
