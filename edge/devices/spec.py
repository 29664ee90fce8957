"""Device specs: how a user names a device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from foundation.errors import UsageError
from foundation.host import salted_hash

Kind = Literal["embedded", "emulator", "tcp", "serial", "sandbox", "vm", "usb"]
_NAMED: dict[str, Kind] = {"emulator": "emulator", "sandbox": "sandbox", "vm": "vm", "usb": "usb"}
_FORMS = "embedded, sandbox:ABI, vm:ABI, emulator:NAME, tcp:HOST:PORT, usb:SERIAL, serial:XYZ or serial"
# What names no phone: an AVD, and what listens on this computer.
_IMPERSONAL = ("emulator-", "127.0.0.1:", "localhost:", "[::1]:")


@dataclass(frozen=True)
class DeviceSpec:
    """A device as its user names it.

    Attributes:
        kind: which road leads to it.
        name: the emulator's name, the serial or the ABI; None where there is only one choice.
        host: of a direct TCP connection.
        port: of a direct TCP connection.
    """

    kind: Kind
    name: str | None = None
    host: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        if self.kind == "tcp":
            host = f"[{self.host}]" if ":" in (self.host or "") else self.host
            return f"tcp:{host}:{self.port}"
        return f"{self.kind}:{self.name}" if self.name else self.kind

    @property
    def anonymous(self) -> str:
        """The spec for records that others read: a salted hash in place of a phone's serial number or address."""
        kind, _, phone = str(self).partition(":")
        if kind not in ("serial", "tcp", "usb") or not phone or phone.startswith(_IMPERSONAL):
            return str(self)
        return f"{kind}:#{salted_hash(phone)}"


def parse_spec(text: str | None = None) -> DeviceSpec:
    """Read a device spec.

    `embedded`: a device made for the occasion; `emulator:NAME`: one kept running by `edgecat emulator start`;
    `sandbox:ABI`, `vm:ABI`: one with the real adbd, made for the occasion; `tcp:HOST:PORT`: a direct connection;
    `serial:XYZ`: a device of the adb server; `serial`: its only one; `usb:SERIAL`: straight over USB.
    Nothing given: `serial:$ANDROID_SERIAL` if that is set, else `embedded`.

    Raises:
        UsageError: anything else.
    """
    if not text:
        serial = os.environ.get("ANDROID_SERIAL")
        return DeviceSpec("serial", serial) if serial else DeviceSpec("embedded")
    kind, _, rest = text.partition(":")
    if kind == "embedded" and text == kind:
        return DeviceSpec("embedded")
    if kind == "serial" and (rest or text == kind):
        return DeviceSpec("serial", rest or None)
    if kind == "tcp":
        return _tcp(text, rest)
    if rest and kind in _NAMED:
        return DeviceSpec(_NAMED[kind], rest)
    raise UsageError(f"unknown device {text!r}", hint=f"use {_FORMS}")


def _tcp(text: str, rest: str) -> DeviceSpec:
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"no address in device {text!r}", hint="write tcp:HOST:PORT, as in tcp:192.168.1.20:5555")
    return DeviceSpec("tcp", host=host, port=int(port))
