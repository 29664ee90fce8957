"""Phones over Wi-Fi, by way of the adb server: pair, connect, disconnect. The server alone speaks TLS with them."""

from __future__ import annotations

from edge.adb.server import ask_server
from foundation.errors import AuthError, DeviceError, UsageError

DEFAULT_PORT = 5555
# The server itself gives up on a silent address after 10 s.
_TIMEOUT = 30.0


def parse_address(text: str, default_port: int | None = None) -> str:
    """Check and complete an address: `HOST:PORT`, or `HOST` where there is a default port.

    Raises:
        UsageError: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, "" if default_port is None else str(default_port)
    bare = host.count(":") > 0 and not (host.startswith("[") and host.endswith("]"))
    if not host or bare or any(c.isspace() for c in host) or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"no address: {text!r}", hint="write HOST:PORT, as the phone shows it: 192.168.1.20:37123")
    return f"{host}:{port}"


def pair(address: str, code: str) -> str:
    """Pair with a phone that shows a pairing code (Developer options → Wireless debugging → Pair device).

    Args:
        address: HOST:PORT of the pairing dialogue; another port than the one to connect to.
        code: the code that the phone shows.

    Returns:
        the server's words, which name the phone.

    Raises:
        UsageError: no address, or no code.
        AuthError: the phone refuses the code.
        DeviceError: nobody there, no adb program, or a server that cannot pair.
    """
    address = parse_address(address)
    # An empty code brings adb's server down.
    if not code.strip() or ":" in code:
        raise UsageError(f"{code!r} is no pairing code", hint="type the six digits that the phone shows")
    try:
        said = ask_server(f"host:pair:{code.strip()}:{address}", _TIMEOUT)
    except DeviceError as error:
        raise _not_paired(address, error) from error
    if not said.startswith("Successfully paired"):
        raise DeviceError(f"not paired with {address}", stderr=said)
    return said


def connect(address: str) -> str:
    """Make the server connect to a device over TCP, or over TLS where it is paired.

    Returns:
        the device's serial, for the spec `serial:…`.

    Raises:
        UsageError: no address.
        AuthError: the device does not know this computer.
        DeviceError: nobody there.
    """
    address = parse_address(address, DEFAULT_PORT)
    said = ask_server(f"host:connect:{address}", _TIMEOUT).strip()
    if said.startswith(("connected to", "already connected to")):
        return address
    if "authenticate" in said:
        raise AuthError(
            f"{address} does not know this computer",
            stderr=said,
            hint="confirm the question on its screen and connect again, or pair it: edgecat devices pair HOST:PORT",
        )
    raise DeviceError(
        f"cannot connect to {address}",
        stderr=said,
        hint="is it on this network, with wireless debugging (or adb tcpip 5555) on? the port changes at every start",
    )


def disconnect(address: str) -> None:
    """Make the server let a device go.

    Raises:
        UsageError: no address.
        DeviceError: the server is not connected to it.
    """
    address = parse_address(address, DEFAULT_PORT)
    try:
        ask_server(f"host:disconnect:{address}", _TIMEOUT)
    except DeviceError as error:
        raise DeviceError(
            f"the adb server is not connected to {address}", stderr=error.stderr, hint="see: edgecat devices"
        ) from error


def _not_paired(address: str, error: DeviceError) -> DeviceError:
    words = error.stderr or error.message
    if "unknown host service" in words:
        return DeviceError(
            "the adb server that runs is too old to pair",
            stderr=words,
            hint="end it (adb kill-server) and try again: edgecat brings a newer one",
        )
    if "Wrong password" in words:
        return AuthError(
            f"{address} refuses the pairing code, or is not waiting for one",
            stderr=words,
            hint="open 'Pair device with pairing code' on the phone again: code and port are new each time",
        )
    if "Unable to start" in words:
        return DeviceError(
            f"nobody waits to be paired at {address}",
            stderr=words,
            hint="take address and port from the phone's pairing dialogue, and leave it open",
        )
    return error
