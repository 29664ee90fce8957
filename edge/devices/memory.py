"""The proportional set (PSS) of a process on a device, at its highest.

Linux counts it when it is asked, by walking every page: milliseconds in which an inference may have to wait. So nothing
is timed meanwhile.
"""

from __future__ import annotations

import re
import shlex
from types import TracebackType

from edge.adb.client import Adb

_PSS_LINE = re.compile(rb"^Pss: +(\d+) kB", re.MULTILINE)
# Ends by itself when the process does. A shell's own words hold the argument too, but never as one of their own.
_SCRIPT = """\
for f in /proc/[0-9]*/cmdline; do
  grep -qzxF -e @WORD@ "$f" 2>/dev/null || continue
  p=${f%/cmdline}
  while grep -s '^Pss:' "$p/smaps_rollup"; do sleep 0.05 2>/dev/null || sleep 1; done
  exit
done"""


class PssWatch:
    """Looks at a process every 50 ms within a `with` block, which begins when it was looked at for the first time.

    The process must end before the block does.

    Args:
        adb: the device.
        argument: one argument of its command line, as it stands there; no other process has it.

    Attributes:
        peak_bytes: after the block; None where the device tells nothing, or no such process was there.
    """

    def __init__(self, adb: Adb, argument: str) -> None:
        self.peak_bytes: int | None = None
        self._adb, self._script = adb, _SCRIPT.replace("@WORD@", shlex.quote(argument))

    def __enter__(self) -> PssWatch:
        self._session = self._adb.start(self._script)
        self._said = b""
        # Not only found, but looked at once: it may be gone soon after.
        while not _PSS_LINE.search(self._said) and (piece := self._session.read_some()):
            self._said += piece
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._session:
            if error is not None:
                return
            while piece := self._session.read_some():
                self._said += piece
        self.peak_bytes = max((int(kb) * 1024 for kb in _PSS_LINE.findall(self._said)), default=None)
