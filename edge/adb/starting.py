"""Devices that are starting: adb answers half a minute before Android does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.adb.stream import Connection
from foundation.errors import AuthError, DeviceError

if TYPE_CHECKING:
    from edge.adb.client import Adb

_PAUSE_SECONDS = 0.25


def connect_when_started(connect: Callable[[], Connection], timeout: float = 120.0) -> Adb:
    """Connect to a device that may not be there yet (it reboots, it was just plugged in), and wait for its start.

    Args:
        connect: makes a connection, or raises DeviceError; called again and again.
        timeout: seconds.

    Raises:
        AuthError: the device does not accept the key.
        DeviceError: it cannot be reached in that time; the last failure tells why.
    """
    from edge.adb.client import Adb

    deadline = time.monotonic() + timeout
    while True:
        try:
            adb = Adb(connect())
            try:
                wait_until_started(adb, deadline)
            except BaseException:
                adb.close()
                raise
            return adb
        except AuthError:
            raise
        except DeviceError as error:
            if time.monotonic() > deadline:
                raise DeviceError(f"no device in {timeout:g} s: {error.message}", hint=error.hint) from error
        time.sleep(_PAUSE_SECONDS)


def wait_until_started(adb: Adb, deadline: float) -> None:
    """Wait until Android has started: `sys.boot_completed`. A device without Android's init has when it answers.

    Args:
        adb: the device.
        deadline: on the monotonic clock.

    Raises:
        DeviceError: it has not by then, or the connection broke.
    """
    while True:
        said = adb.properties()
        if said.get("sys.boot_completed") == "1" or not any(name.startswith("init.svc.") for name in said):
            return
        if time.monotonic() > deadline:
            raise DeviceError("Android has not started yet", device=adb.serial, hint="look at the device's screen")
        time.sleep(_PAUSE_SECONDS)
