"""A file on a device out of its page cache, so that the next to read it reads the storage."""

from __future__ import annotations

import shlex
from typing import Literal

from edge.adb.client import Adb

Method = Literal["file_dropped", "caches_dropped"]

# GNU dd with a count of 0 drops the whole file (posix_fadvise, POSIX_FADV_DONTNEED): anybody may who can read it, and
# it does nothing for pages that are dirty or mapped. Android's dd has no such flag; util-linux's fincore looks after.
_DROP_FILE = """\
f=@FILE@
sync "$f" 2>/dev/null || sync
dd if="$f" iflag=nocache count=0 2>/dev/null || exit 1
! command -v fincore >/dev/null || [ "$(fincore -nb -o pages "$f" | tr -d ' ')" = 0 ]"""
_DROP_ALL = "sync; echo 3 > /proc/sys/vm/drop_caches"
_PATIENCE_SECONDS = 60.0


def drop_file(adb: Adb, path: str, *, whole_device: bool) -> Method | None:
    """Take a file out of the page cache.

    Args:
        adb: the device.
        path: the file there.
        whole_device: whether all caches may go where one file's cannot: only on a device that is nobody else's. It
            takes root there.

    Returns:
        how it was done; None where it cannot be.

    Raises:
        DeviceError: the device does not answer.
    """
    if adb.shell(_DROP_FILE.replace("@FILE@", shlex.quote(path)), _PATIENCE_SECONDS).exit_code == 0:
        return "file_dropped"
    if whole_device and adb.shell(_DROP_ALL, _PATIENCE_SECONDS).exit_code == 0:
        return "caches_dropped"
    return None
