"""How the host gets a connection to a device in namespaces: as a file descriptor, through a socket file."""

from __future__ import annotations

import socket
from pathlib import Path

_ANSWER_SECONDS = 10.0


def connect(path: Path) -> socket.socket:
    """A fresh connection to the adbd behind a socket file.

    Raises:
        OSError: no device there, or its adbd does not take connections.
    """
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(_ANSWER_SECONDS)
        door.connect(str(path))
        _, descriptors, _, _ = socket.recv_fds(door, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if not descriptors:
        raise ConnectionRefusedError("the device's adbd takes no connections")
    return socket.socket(fileno=descriptors[0])
