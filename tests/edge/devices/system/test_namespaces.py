"""System calls that Python has no names for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edge.devices.system import namespaces

pytestmark = pytest.mark.skipif(not namespaces.supported(), reason="needs Linux on x86_64 or aarch64")


def _run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout


def test_no_vsock_can_be_made_but_all_else_can() -> None:
    script = (
        "import socket\n"
        "from edge.devices.system.namespaces import *\n"
        "gain_no_privileges()\n"
        "refuse_vsock()\n"
        "for family in (socket.AF_INET, socket.AF_UNIX, 40):\n"
        "    try:\n"
        "        socket.socket(family, socket.SOCK_STREAM).close(); print('made')\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )
    assert _run(script).split() == ["made", "made", "97"]


def test_a_mount_that_is_not_allowed_names_the_place() -> None:
    with pytest.raises(OSError, match="mounting tmpfs") as caught:
        namespaces.mount("none", "/no/such/place", "tmpfs")
    assert caught.value.filename == "/no/such/place"
