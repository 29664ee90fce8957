"""`python -m edge.devices.vm`: a virtual machine as a process; see `edge.devices.system.keeper`."""

from __future__ import annotations

import os
from pathlib import Path

from edge.devices.system import keeper
from edge.devices.system.first_process import Program
from edge.devices.vm.image import Image
from edge.devices.vm.machine import Machine, wait_until_ready


def main() -> int:
    """Run a virtual machine until its parent, a signal or its own end ends it."""
    parser = keeper.parser(__doc__)
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--timeout", type=float, required=True)
    arguments = parser.parse_args()
    log = arguments.directory / "device.log"
    image = Image(arguments.image / "vmlinuz", arguments.image / "initrd.img")
    machine = Machine(image, arguments.memory_bytes, arguments.data, log)

    def prepare() -> Program:
        return Program(machine.command(), {"PATH": os.environ.get("PATH", os.defpath)}, restarts=False)

    return keeper.keep(arguments, prepare, lambda path: wait_until_ready(path, log, arguments.timeout))


if __name__ == "__main__":
    raise SystemExit(main())
