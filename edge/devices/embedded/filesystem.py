"""What stands in the embedded device's root: properties, and the few commands that a phone has and a host may lack."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
from pathlib import Path

_GETPROP = """#!/bin/sh
while IFS= read -r line; do
  name=${line%%=*}
  value=${line#*=}
  if [ $# -eq 0 ]; then
    printf '[%s]: [%s]\\n' "$name" "$value"
  elif [ "$1" = "$name" ]; then
    printf '%s\\n' "$value"
    exit 0
  fi
done < @PROPERTIES@
[ $# -eq 0 ] || printf '%s\\n' "${2-}"
"""

_SHA256SUM = """import hashlib, sys
for name in sys.argv[1:]:
    with open(name, "rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    print(f"{digest.hexdigest()}  {name}")
"""

_ABI = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64-v8a", "arm64": "arm64-v8a"}


def abi() -> str:
    """This machine's architecture by Android's name."""
    machine = platform.machine().lower()
    return _ABI.get(machine, machine)


def os_version() -> str:
    """What stands where a phone has Android's version: this machine's system and kernel."""
    return f"{platform.system()} {platform.release()}"


def properties(root: Path, serial: str) -> dict[str, str]:
    """What `getprop` says on this device."""
    return {
        "ro.product.model": "edgecat embedded",
        "ro.product.name": "edgecat_embedded",
        "ro.product.device": "embedded",
        "ro.product.cpu.abi": abi(),
        "ro.build.version.release": os_version(),
        "ro.serialno": serial,
        "edgecat.kind": "embedded",
        "edgecat.workdir": str(root / "data/local/tmp/edgecat"),
    }


def prepare(root: Path, serial: str) -> dict[str, str]:
    """Make the directories, commands and properties below `root`; the properties are returned.

    Raises:
        OSError: the root cannot be written.
    """
    values = properties(root, serial)
    commands = root / "system" / "bin"
    for directory in (commands, root / "data" / "local" / "tmp" / "edgecat"):
        directory.mkdir(parents=True, exist_ok=True)
    build = root / "system" / "build.prop"
    build.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    _command(commands / "getprop", _GETPROP.replace("@PROPERTIES@", shlex.quote(str(build))))
    python = shlex.quote(sys.executable)
    _command(commands / "python3", f'#!/bin/sh\nexec {python} "$@"\n')
    if shutil.which("sha256sum") is None:
        _command(commands / "sha256sum", f'#!/bin/sh\nexec {python} -c {shlex.quote(_SHA256SUM)} "$@"\n')
    return values


def environment(root: Path) -> dict[str, str]:
    """The environment of the device's shell: the host's, with home, temporary files and PATH moved below `root`."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANDROID_", "ADB_", "PYTHONPATH"))
    }
    path = f"{root / 'system' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return kept | {"HOME": str(root), "TMPDIR": str(root / "data/local/tmp"), "PATH": path, "PWD": str(root)}


def _command(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
