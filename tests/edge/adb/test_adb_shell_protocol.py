"""Commands on the device, over both roads."""

from __future__ import annotations

import os
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.multiplex import MuxStream
from edge.adb.shell import HEADER, Packet, ShellSession, Tail, run
from foundation.errors import DeviceError, ProtocolError

pytestmark = pytest.mark.device


class WithoutFeatures:
    """A connection to a device that has none of the newer services."""

    def __init__(self, connection: DirectConnection) -> None:
        self.serial = connection.serial
        self.features: frozenset[str] = frozenset()
        self.alive = True
        self.opened: list[str] = []
        self._connection = connection

    def open(self, service: str) -> MuxStream:
        self.opened.append(service)
        return self._connection.open(service)

    def close(self) -> None:
        self._connection.close()


def test_a_shell_packet_has_these_bytes() -> None:
    assert HEADER.pack(Packet.STDERR, 258) == b"\x02\x02\x01\x00\x00"
    assert [kind.value for kind in Packet] == [0, 1, 2, 3, 4, 5]


def test_exit_code_output_and_errors_come_apart(adb: Adb) -> None:
    result = adb.shell("printf 'out\\0\\n'; printf 'err' >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr, result.merged) == (7, b"out\0\n", b"err", False)


@pytest.mark.parametrize(("command", "code"), [("true", 0), ("exit 255", 255), ("kill -9 $$", 137), ("no-such", 127)])
def test_exit_codes_are_those_of_the_device_s_shell(adb: Adb, command: str, code: int) -> None:
    assert adb.shell(command).exit_code == code


def test_a_command_gets_its_input_and_the_end_of_it(adb: Adb) -> None:
    data = os.urandom(3 << 20)
    assert adb.shell("cat", stdin=data).stdout == data
    assert adb.shell("cat").stdout == b""


def test_a_command_that_does_not_read_its_input_is_no_error(adb: Adb) -> None:
    assert adb.shell("exit 3", stdin=bytes(8 << 20)).exit_code == 3


def test_a_command_that_takes_too_long_is_hung_up(adb: Adb) -> None:
    begun = time.monotonic()
    with pytest.raises(DeviceError, match=r"no end after 0\.3 s"):
        adb.shell("sleep 30", timeout=0.3)
    assert time.monotonic() - begun < 3
    assert adb.shell("echo next", timeout=10).stdout == b"next\n"


def test_a_failed_check_tells_exit_code_and_errors(adb: Adb) -> None:
    with pytest.raises(DeviceError, match="no such luck") as caught:
        adb.check_shell("echo no such luck >&2; exit 4")
    assert caught.value.exit_status == 4
    assert adb.check_shell("echo luck") == b"luck\n"


def test_frames_go_both_ways_at_once_without_a_lost_or_changed_byte(adb: Adb) -> None:
    frames = [os.urandom(size) for size in (1, 5, 65_536, 1 << 20, (1 << 20) + 1, 3_000_001)] * 3
    with adb.start("cat") as session:

        def write() -> None:
            for frame in frames:
                session.write(frame)
            session.close_stdin()

        writer = threading.Thread(target=write)
        writer.start()
        assert [session.read(len(frame)) for frame in frames] == frames
        writer.join()
        assert session.exit_code is None
        assert session.read_some() == b""
        assert session.exit_code == 0


def test_a_session_that_ends_early_tells_exit_code_and_the_end_of_its_errors(adb: Adb) -> None:
    with (
        adb.start("printf half; head -c 200000 /dev/zero | tr '\\0' x >&2; echo last words >&2; exit 9") as session,
        pytest.raises(DeviceError, match="last words") as caught,
    ):
        session.read(8)
    assert caught.value.exit_status == 9
    assert "after 4 of the 8 bytes" in str(caught.value)
    assert session.exit_code == 9
    assert len(session.stderr) == 64 << 10
    assert session.stderr.endswith(b"xlast words\n")


def test_a_closed_session_ends_its_command_and_all_that_it_started(adb: Adb) -> None:
    with adb.start("sleep 300 & echo $!; wait") as session:
        child = int(session.read(1) + session.read_some())
        os.kill(child, 0)
    assert _ends(child, within=3)


def test_writing_to_a_session_that_has_ended_is_a_device_error(connection: DirectConnection) -> None:
    with Adb(connection).start("exit 0") as session:
        assert session.read_some() == b""
        with pytest.raises(DeviceError):
            session.write(bytes(64 << 20))


def test_without_the_shell_protocol_the_exit_code_comes_behind_a_marker(connection: DirectConnection) -> None:
    old = WithoutFeatures(connection)
    result = run(old, "printf out; echo err >&2; exit 5")
    assert (result.exit_code, result.stdout, result.merged) == (5, b"outerr\n", True)
    assert old.opened[0].startswith("exec:")
    with pytest.raises(DeviceError, match="input"):
        run(old, "cat", stdin=b"x")
    with pytest.raises(DeviceError, match="no end"):
        run(old, "sleep 30", timeout=0.2)


def test_without_the_shell_protocol_a_session_still_carries_frames(connection: DirectConnection) -> None:
    data = os.urandom(200_000)
    with ShellSession(WithoutFeatures(connection), "echo noise >&2; cat") as session:
        session.write(data)
        assert session.read(len(data)) == data


def test_a_packet_of_an_unknown_kind_breaks_the_protocol(connection: DirectConnection) -> None:
    class Garbled(WithoutFeatures):
        def open(self, service: str) -> MuxStream:
            return super().open(r"exec:printf '\011\001\000\000\000x'; cat")

    garbled = Garbled(connection)
    garbled.features = frozenset({"shell_v2"})
    with ShellSession(garbled, "anything") as session, pytest.raises(ProtocolError, match="kind 9"):
        session.read(1)


@given(st.lists(st.binary(max_size=20)), st.integers(1, 40))
def test_a_tail_keeps_the_last_bytes_and_not_much_more(pieces: list[bytes], limit: int) -> None:
    tail = Tail(limit)
    for piece in pieces:
        tail.add(piece)
    assert bytes(tail) == b"".join(pieces)[-limit:]
    assert sum(map(len, tail._pieces)) < limit + 20


def _ends(pid: int, within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
