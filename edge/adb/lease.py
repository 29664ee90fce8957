"""One computer at a time on a device: a lease that ends by itself when its holder does.

The lease is a file `lease` in edgecat's directory on the device. A shell there holds it for us and removes it when its
input ends: at the end of the work, when the cable is pulled, when this process is killed. A file whose shell is no more
(switched off, rebooted) is taken over. One line of text, fields with a blank between them:

    1 TOKEN HOST HOST-PID SHELL-PID SHELL-START BOOT-ID SINCE
"""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edge.adb.cleanup import CleanupShell
from edge.adb.staging import explaining, sheltered
from foundation.errors import DeviceError
from foundation.host import salted_hash

if TYPE_CHECKING:
    from edge.adb.client import Adb

# A pid alone may belong to another program by now: its start time, and this start of the device, tell. `cat`, because a
# shell under qemu-user sees an invented file of itself.
_SCRIPT = """
L=@LEASE@
start() {
  s=$(cat "/proc/$1/stat" 2>/dev/null)
  set -- ${s##*')'}
  shift 19 2>/dev/null && echo "$1" || echo 0
}
lives() {
  [ "$3" = "$boot" ] && { kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ]; } && [ "$(start "$1")" = "$2" ]
}
take() {
  why=$( (set -C; : > "$L") 2>&1 ) || return 1
  echo "$mine" > "$L" && echo taken || { rm -f "$L"; echo failed; }
}
bury() {
  # Only who has the lock removes a dead lease: no new one can be taken for it.
  mkdir "$L.lock" 2>/dev/null || return
  again=
  read -r again < "$L"
  [ "$again" = "$1" ] && rm -f "$L"
  rmdir "$L.lock"
}
lease() {
  how=$1
  tries=0
  while ! take; do
    tries=$((tries + 1))
    line=
    [ ! -e "$L" ] || read -r line < "$L"
    set -- $line
    if [ "$2" = @TOKEN@ ]; then
      [ "$how" = again ] || { echo ours; return; }
      echo "$mine" > "$L.$$" && mv -f "$L.$$" "$L" && echo taken || echo failed
      return
    elif [ $# -eq 8 ] && lives "$5" "$6" "$7"; then
      echo "held $3 $4 $(($(date +%s) - $8))"
      return
    elif [ $tries -gt 20 ]; then
      rmdir "$L.lock" 2>/dev/null || { echo "failed $why"; return; }
    elif [ $# -eq 8 ] || [ $tries -gt 5 ]; then
      bury "$line"
    fi
    # A lease is empty for the moment between its making and its line; another may be burying it.
    [ $tries -lt 3 ] || sleep 0.1 2>/dev/null || sleep 1
  done
}
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null) || boot=unknown
mine="1 @TOKEN@ @HOST@ @PID@ $$ $(start $$) $boot $(date +%s)"
"""
_RELEASE = 'read -r mark < "$L" && [ "$mark" = "$mine" ] && rm -f "$L"'

_log = logging.getLogger(__name__)
_registry = threading.Lock()
_held: dict[tuple[str, str], _Holding] = {}
_token = (0, "")


@dataclass
class _Holding:
    """A lease of this process: the shell that holds it and the connections that rely on it, the shell's own first."""

    path: str
    shell: CleanupShell
    users: list[Adb] = field(default_factory=list)

    @property
    def alive(self) -> bool:
        """Whether the shell's connection stands."""
        return bool(self.users) and self.users[0].connection.alive


class Lease:
    """The right to use a device; a context manager that gives it back. This process may take it many times at once."""

    def __init__(self, adb: Adb, holding: _Holding) -> None:
        self._adb = adb
        self._holding = holding
        self._released = False

    @classmethod
    def take(cls, adb: Adb, workdir: str) -> Lease:
        """Take the device.

        Args:
            adb: the device; its connection must outlive the lease.
            workdir: edgecat's directory there; made if need be.

        Raises:
            DeviceError: another process has it; says since when. Or the directory cannot be written.
        """
        path = f"{sheltered(workdir)}/lease"
        with _registry:
            holding = _held.get((adb.serial, path))
            if holding is None or not holding.alive:
                holding = _take(adb, path)
            holding.users.append(adb)
            _held[adb.serial, path] = holding
        return cls(adb, holding)

    def release(self) -> None:
        """Give the device back, if nobody else in this process has taken it. Releasing twice does no harm."""
        with _registry:
            if self._released:
                return
            self._released = True
            users = self._holding.users
            on_ours = users[0] is self._adb
            users.remove(self._adb)
            if not users:
                _forget(self._holding)
            elif on_ours and users[0] is not self._adb:
                _hand_over(self._holding)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _take(adb: Adb, path: str) -> _Holding:
    shell, answer = _ask(adb, path, "")
    if answer == ["ours"]:
        shell.close()
        # By another road to the same device; or by one that has just broken, and the device does not know it yet.
        known = next((holding for holding in _held.values() if holding.path == path and holding.alive), None)
        if known is not None:
            return known
        shell, answer = _ask(adb, path, "again")
    if answer == ["taken"]:
        return _Holding(path, shell)
    shell.close()
    if answer[:1] == ["held"] and len(answer) == 4:
        raise _taken_by(adb, path, *answer[1:])
    raise DeviceError(f"no lease of {path}", device=adb.serial, stderr=" ".join(answer))


def _ask(adb: Adb, path: str, how: str) -> tuple[CleanupShell, list[str]]:
    words = {"LEASE": shlex.quote(path), "TOKEN": _own_token(), "HOST": salted_hash("host"), "PID": str(os.getpid())}
    script = _SCRIPT
    for name, value in words.items():
        script = script.replace(f"@{name}@", value)
    shell = CleanupShell(adb.connection, _RELEASE)
    try:
        with explaining(adb, path.removesuffix("/lease"), 0):
            shell.check(f"mkdir -p {shlex.quote(path.removesuffix('/lease'))}")
            shell.check(script)
            said = shell.check(f"lease {how}")
            if "failed" in said:
                raise DeviceError(f"cannot write {path}", device=adb.serial, stderr=said.replace("failed", ""))
    except BaseException:
        shell.close()
        raise
    return shell, said.split()


def _hand_over(holding: _Holding) -> None:
    """The connection that the shell runs on is about to go: let a shell on another hold the lease."""
    try:
        shell, answer = _ask(holding.users[0], holding.path, "again")
    except DeviceError as error:
        _log.warning("the lease of the device could not be kept: %s", error)
        return
    if answer == ["taken"]:
        holding.shell.close()
        holding.shell = shell
    else:
        shell.close()
        _log.warning("the lease of the device went to somebody else: %s", " ".join(answer))


def _forget(holding: _Holding) -> None:
    for key in [key for key, known in _held.items() if known is holding]:
        del _held[key]
    holding.shell.close()


def _own_token() -> str:
    """Marks this process among all; a fork is another one."""
    global _token
    if _token[0] != os.getpid():
        _token = (os.getpid(), secrets.token_hex(8))
        _held.clear()
    return _token[1]


def _taken_by(adb: Adb, path: str, host: str, pid: str, seconds: str) -> DeviceError:
    where = "this computer" if host == salted_hash("host") else f"another computer ({host})"
    since = time.strftime("%H:%M:%S", time.localtime(time.time() - int(seconds)))
    return DeviceError(
        f"the device is in use: process {pid} of {where} has it since {since} ({seconds} s)",
        device=adb.serial,
        hint=f"wait until it ends, or end it; if nothing uses the device, remove {path} there",
    )
