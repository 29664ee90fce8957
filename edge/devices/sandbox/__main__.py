"""`python -m edge.devices.sandbox`: a sandbox as a process; see `edge.devices.system.keeper`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from edge.devices.sandbox import arm64
from edge.devices.sandbox.filesystem import Plan, make
from edge.devices.system import keeper, layout
from edge.devices.system.first_process import ADBD_PORT, Program
from edge.devices.system.rootfs import ADBD


def main() -> int:
    """Run a sandbox until its parent, or a signal, ends it."""
    parser = keeper.parser(__doc__)
    parser.add_argument("--abi", required=True)
    parser.add_argument("--rootfs", type=Path, required=True)
    parser.add_argument("--data-bytes", type=int, required=True)
    parser.add_argument("--qemu", type=Path, default=None)
    arguments = parser.parse_args()
    plan = Plan(arguments.abi, arguments.rootfs, arguments.data_bytes, os.cpu_count() or 1, arguments.qemu)
    environment = layout.environment() | {"ADBD_PORT": str(ADBD_PORT)}
    if plan.qemu is not None:
        environment["QEMU_CPU"] = arm64.CPU

    def prepare() -> Program:
        make(plan)
        socket.sethostname("edgecat")
        return Program([ADBD], environment, restarts=True)

    return keeper.keep(arguments, prepare)


if __name__ == "__main__":
    raise SystemExit(main())
