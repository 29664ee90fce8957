"""The embedded device as a process: who is let in, what runs, and that nothing stays behind."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey, make_key
from edge.adb.link import MessageLink
from edge.adb.messages import AUTH, AUTH_PUBLIC_KEY, AUTH_SIGNATURE, CNXN, OPEN
from edge.adb.sync_records import REQUEST, request
from edge.adb.transport import dial
from edge.devices.embedded.launch import EmbeddedDevice
from foundation.errors import DeviceError

from .waiting import becomes, lives

pytestmark = pytest.mark.device

_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def test_its_directory_and_its_key_are_its_owner_s_only(device: EmbeddedDevice) -> None:
    assert stat.S_IMODE(device.key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(device.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(device.root.parent.stat().st_mode) == 0o700
    assert device.root not in device.key_path.parents


def test_it_listens_on_loopback_only(device: EmbeddedDevice) -> None:
    listening = [
        line.split()[1]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        if Path(table).exists()
        for line in Path(table).read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[1].endswith(f":{device.address[1]:04X}")
    ]
    assert listening in ([f"0100007F:{device.address[1]:04X}"], [])


def test_a_public_key_without_a_signature_lets_nobody_in(device: EmbeddedDevice) -> None:
    with _link(device) as link:
        assert link.receive().command == AUTH
        link.send(AUTH, AUTH_PUBLIC_KEY, 0, HostKey(device.key_path).public_text() + b"\0")
        with pytest.raises(DeviceError, match="closed"):
            link.receive()


def test_a_signature_of_an_earlier_token_lets_nobody_in(device: EmbeddedDevice) -> None:
    key = HostKey(device.key_path)
    with _link(device) as link:
        token = link.receive().data
        link.send(AUTH, AUTH_SIGNATURE, 0, key.sign(token[::-1]))
        fresh = link.receive()
        assert fresh.command == AUTH
        assert fresh.data != token
        link.send(AUTH, AUTH_SIGNATURE, 0, key.sign(token))
        assert link.receive().command == AUTH


def test_nothing_is_opened_before_authentication(device: EmbeddedDevice) -> None:
    with _link(device) as link:
        link.receive()
        link.send(OPEN, 1, 0, b"shell:touch intruder\0")
        with pytest.raises(DeviceError):
            link.receive()
    assert not (device.root / "intruder").exists()


def test_it_says_what_it_is(adb: Adb, device: EmbeddedDevice) -> None:
    said = adb.properties()
    assert said["edgecat.kind"] == "embedded"
    assert said["ro.product.model"] == "edgecat embedded"
    assert said["ro.serialno"] == device.serial
    assert said["edgecat.workdir"] == f"{device.root}/data/local/tmp/edgecat"
    assert (device.root / "data/local/tmp/edgecat").is_dir()
    assert adb.check_shell("getprop edgecat.kind") == b"embedded\n"
    assert adb.check_shell("getprop no.such.thing") == b"\n"


def test_commands_run_in_the_root_with_home_and_temporary_files_below_it(adb: Adb, device: EmbeddedDevice) -> None:
    said = adb.check_shell('pwd; echo "$HOME"; echo "$TMPDIR"; command -v getprop').decode().split()
    root = str(device.root)
    assert said == [root, root, f"{root}/data/local/tmp", f"{root}/system/bin/getprop"]


def test_commands_are_never_rewritten(adb: Adb) -> None:
    assert adb.check_shell("echo /data/local/tmp /sdcard '$HOME'") == b"/data/local/tmp /sdcard $HOME\n"


def test_its_python_is_the_one_that_runs_it(adb: Adb) -> None:
    assert adb.check_shell("python3 -c 'import sys; print(sys.prefix)'").decode().strip() == sys.prefix
    assert len(adb.check_shell("sha256sum system/build.prop").split()[0]) == 64


def test_an_interactive_shell_has_a_terminal_of_the_size_asked_for(adb: Adb) -> None:
    stream = adb.open("shell,v2,TERM=vt100,pty:")
    stream.send(_packet(5, b"33x111,0x0\0"))
    stream.send(_packet(0, b"test -t 0 && stty size && echo term=$TERM; exit 6\n"))
    seen = b""
    while (piece := stream.receive_some()) != b"":
        seen += piece
    assert b"33 111" in seen
    assert b"term=vt100" in seen
    assert seen.endswith(_packet(3, b"\x06"))


def test_a_shell_of_version_1_gives_bare_output(adb: Adb) -> None:
    stream = adb.open("shell:echo out; echo err >&2")
    assert stream.receive(8) == b"out\nerr\n"
    assert stream.receive_some() == b""


@_LINUX
def test_what_leaves_its_process_group_still_ends_with_the_device() -> None:
    with EmbeddedDevice.start() as device, Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as adb:
        leave = "setsid sh -c 'echo $$ >left; exec sleep 300' >/dev/null 2>&1 </dev/null &"
        child = int(adb.check_shell(f"{leave} until [ -s left ]; do sleep 0.01; done; cat left"))
        assert lives(child)
    assert _ends(child)


def test_a_command_that_ignores_the_hangup_is_killed_after_two_seconds(adb: Adb) -> None:
    with adb.start("trap '' HUP; echo $$; while :; do sleep 0.1; done") as session:
        shell = int(session.read_some())
    begun = time.monotonic()
    assert _ends(shell, within=5)
    assert 1.5 < time.monotonic() - begun < 4


def test_it_ends_when_its_parent_is_killed_and_so_do_its_commands(tmp_path: Path) -> None:
    script = (
        "import json, os, time\n"
        "from edge.adb.client import Adb\n"
        "from edge.adb.connection import DirectConnection\n"
        "from edge.adb.keys import HostKey\n"
        "from edge.devices.embedded.launch import EmbeddedDevice\n"
        "device = EmbeddedDevice.start()\n"
        "adb = Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path)))\n"
        "session = adb.start('echo $$; sleep 300')\n"
        "print(json.dumps([device.pid, int(session.read_some()), str(device.root.parent)]), flush=True)\n"
        "time.sleep(300)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
    assert parent.stdout is not None
    device, command, directory = json.loads(parent.stdout.readline())
    assert lives(device)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _ends(device, within=5)
    assert _ends(command, within=5)
    # A private key was in it.
    assert not Path(directory).exists()


@_LINUX
def test_connections_leave_neither_threads_nor_descriptors_nor_processes_behind(device: EmbeddedDevice) -> None:
    def census() -> tuple[int, int, int]:
        threads = len(list(Path(f"/proc/{device.pid}/task").iterdir()))
        descriptors = len(list(Path(f"/proc/{device.pid}/fd").iterdir()))
        children = Path(f"/proc/{device.pid}/task/{device.pid}/children").read_text().split()
        return threads, descriptors, len(children)

    before = census()
    for _ in range(10):
        with Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as adb:
            adb.start("cat")
            adb.start("sleep 300 & sleep 300")
            adb.open("sync:")
            adb.shell("true")
    deadline = time.monotonic() + 4
    while census() != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert census() == before


def test_a_cut_push_leaves_nothing(device: EmbeddedDevice, adb: Adb) -> None:
    adb.check_shell("mkdir -p data/local/tmp/cut")
    connection = DirectConnection.tcp(*device.address, HostKey(device.key_path))
    stream = connection.open("sync:")
    stream.send(request(b"SEND", "data/local/tmp/cut/model,33188"))
    stream.send(REQUEST.pack(b"DATA", 65_536) + bytes(65_536) + REQUEST.pack(b"DATA", 65_536) + bytes(100))
    directory = device.root / "data/local/tmp/cut"
    assert becomes(lambda: len(list(directory.iterdir())) == 1)
    connection.close()
    assert becomes(lambda: not list(directory.iterdir()))


@_LINUX
def test_a_full_disk_is_told_in_the_system_s_words_and_leaves_nothing() -> None:
    with EmbeddedDevice.start() as device, Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as adb:
        adb.push(b"the old one", "data/model")
        # A limit on file sizes stands for a full disk: the same write fails in the same place.
        resource.prlimit(device.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        with pytest.raises(DeviceError, match="File too large"):
            adb.push(bytes(4 << 20), "data/model")
        assert set(adb.list("data")) == {"local", "model"}
        assert adb.check_shell("cat data/model") == b"the old one"
        with pytest.raises(DeviceError, match="File too large"):
            adb.push_verified(bytes(4 << 20), "data/model")
        assert set(adb.list("data")) == {"local", "model"}


def test_a_host_that_says_nothing_does_not_keep_others_out(device: EmbeddedDevice) -> None:
    silent = [socket.create_connection(device.address) for _ in range(20)]
    with Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as adb:
        assert adb.shell("echo in").stdout == b"in\n"
    for connection in silent:
        connection.close()


def test_a_start_that_fails_tells_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    make_key(tmp_path / "key")
    (tmp_path / "key.pub").write_text("no key")
    with pytest.raises(DeviceError, match="cannot start"):
        EmbeddedDevice.start(key=tmp_path / "key")


def test_stopping_removes_the_temporary_directory_and_may_be_done_twice() -> None:
    device = EmbeddedDevice.start()
    directory = device.root.parent
    assert device.running
    device.stop()
    device.stop()
    assert not device.running
    assert not directory.exists()


def test_a_root_that_was_given_stays(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    with EmbeddedDevice.start(tmp_path / "my root", key=key.path) as device:
        assert device.key_path == key.path
        with Adb(DirectConnection.tcp(*device.address, key)) as adb:
            adb.push(b"kept", "kept")
            assert adb.properties()["edgecat.workdir"].startswith(f"{tmp_path}/my root/")
            assert adb.check_shell("python3 -c 'print(1)'") == b"1\n"
    assert (tmp_path / "my root/kept").read_bytes() == b"kept"


def test_sigterm_ends_it_cleanly() -> None:
    with EmbeddedDevice.start() as device, Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as adb:
        with adb.start("echo $$; sleep 300") as session:
            command = int(session.read_some())
            os.kill(device.pid, signal.SIGTERM)
            with pytest.raises(DeviceError):
                session.read(1)
        assert _ends(command)
        assert becomes(lambda: not device.running)


class _link(MessageLink):  # noqa: N801  -- reads as a function
    """A bare link that has said CNXN."""

    def __init__(self, device: EmbeddedDevice) -> None:
        super().__init__(dial(*device.address, 5))
        self.send(CNXN, 0x01000001, 1 << 20, b"host::")

    def __enter__(self) -> _link:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _packet(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + len(data).to_bytes(4, "little") + data


def _ends(pid: int, within: float = 4.0) -> bool:
    return becomes(lambda: not lives(pid), within)
