"""What this machine lacks to build a runner, and the command that brings it."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from edge.runner.building.targets import ABIS, ENGINES, Abi, make_target
from edge.runner.building.tflite import NPM_PACKAGE, NPM_VERSION, npm_folder
from edge.runner.building.toolchain import ZIG_HINT, compiler_hint, compiler_name, find_compiler, zig_version
from edge.runner.building.wheels import WHEELS, is_at_hand


@dataclass(frozen=True)
class Missing:
    """One thing that is lacking.

    Attributes:
        what: the thing, and what it is needed for.
        hint: the command that brings it.
    """

    what: str
    hint: str


def missing(abi: str, flavour: str, engine: str | None = None) -> list[Missing]:
    """What is lacking to build the runners of a flavour; empty if they can be built. Asks no network.

    Raises:
        UsageError: there is no such target.
    """
    targets = [make_target(abi, flavour, name) for name in ([engine] if engine else ENGINES.get(flavour, ("",)))]
    return _linux(ABIS[abi], [target.engine for target in targets]) if flavour == "linux" else _android()


def _linux(abi: Abi, engines: list[str]) -> list[Missing]:
    found = []
    if find_compiler(abi) is None:
        found.append(Missing(f"{compiler_name(abi)}, the compiler for {abi.name}", compiler_hint(abi)))
    fetched = [WHEELS[engine] for engine in engines if not is_at_hand(WHEELS[engine], abi)]
    if fetched and importlib.util.find_spec("pip") is None:
        names = ", ".join(f"{wheel.project} {wheel.version}" for wheel in fetched)
        found.append(Missing(f"pip, to fetch {names} for {abi.name}", "python -m ensurepip"))
    return found


def _android() -> list[Missing]:
    found = []
    if zig_version() is None:
        found.append(Missing("ziglang, which links for Android", ZIG_HINT))
    if not npm_folder().is_dir() and shutil.which("npm") is None:
        found.append(
            Missing(
                f"npm, to fetch TFLite for Android ({NPM_PACKAGE} {NPM_VERSION})",
                "apt-get install npm, or give a TFLite library with --tflite-lib",
            )
        )
    return found
