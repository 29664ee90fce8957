"""`python -m edge.devices.embedded --root DIR --key KEY.pub`: the embedded device as a process.

Prints one JSON line, {"port", "root", "serial"}, when it can be reached. Unless `--detached`, it ends when its standard
input does: whoever started it holds the other end, so that the device ends with its parent, however that ends.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import secrets
import select
import shutil
import signal
import sys
import threading
from pathlib import Path

from edge.adb.keys import decode_public_key
from edge.devices.embedded import filesystem
from edge.devices.embedded.daemon import Daemon
from edge.devices.embedded.processes import ProcessRegistry
from edge.devices.embedded.session import Device

_PARENT_CHECK_MS = 1000


def main() -> int:
    """Run the device until its parent, or a signal, ends it."""
    parser = argparse.ArgumentParser(prog="edge.devices.embedded", description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the device's own directory")
    parser.add_argument("--key", type=Path, action="append", required=True, help="public key that is let in (.pub)")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes any free one")
    parser.add_argument("--serial", default=None, help="what the device calls itself")
    parser.add_argument("--detached", action="store_true", help="do not end with the parent")
    parser.add_argument("--remove", type=Path, default=None, help="temporary directory that goes when the device ends")
    parser.add_argument("--verbose", action="store_true", help="log every connection on standard error")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO if arguments.verbose else logging.WARNING, format="%(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    try:
        daemon = _start(arguments)
    except (OSError, ValueError) as error:
        print(f"the embedded device cannot start: {error}", file=sys.stderr)
        return 1
    if not arguments.detached:
        threading.Thread(target=_watch_parent, args=(ended,), daemon=True).start()
    ended.wait()
    daemon.end()
    if arguments.remove is not None:
        # Whoever made it cannot do so after a kill -9, and a private key is in it.
        shutil.rmtree(arguments.remove, ignore_errors=True)
    return 0


def _start(arguments: argparse.Namespace) -> Daemon:
    arguments.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = arguments.root.resolve()
    serial = arguments.serial or f"embedded-{secrets.token_hex(6)}"
    keys = tuple(decode_public_key(path.read_bytes()) for path in arguments.key)
    properties = filesystem.prepare(root, serial)
    device = Device(root, keys, properties, filesystem.environment(root), ProcessRegistry())
    daemon = Daemon(device, arguments.port)
    daemon.start()
    print(json.dumps({"port": daemon.port, "root": str(root), "serial": serial}), flush=True)
    return daemon


def _watch_parent(ended: threading.Event) -> None:
    """End with the parent: its end closes our standard input, unless a fork of it holds that open; then we see a new
    parent. (Linux's parent-death signal would not do: it fires when the parent's *thread* that started us ends.)
    """
    parent = os.getppid()
    waiting = select.poll()
    waiting.register(sys.stdin.fileno(), select.POLLIN)
    while os.getppid() == parent:
        if waiting.poll(_PARENT_CHECK_MS) and not os.read(sys.stdin.fileno(), 1 << 12):
            break
    ended.set()


if __name__ == "__main__":
    raise SystemExit(main())
