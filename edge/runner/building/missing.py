"""What this machine lacks to build a runner, and the command that brings it."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from edge.runner.building.targets import ABIS, ENGINES, Abi, make_target
from edge.runner.building.tflite import NPM_PACKAGE, NPM_VERSION, npm_folder, npm_offers
from edge.runner.building.toolchain import ZIG_HINT, compiler_hint, compiler_name, find_compiler, zig_version
from edge.runner.building.wheels import WHEELS, Wheel, is_at_hand, is_offered

_OWN = "or give a TFLite library with --tflite-lib"
_BUILD = "where there is a network once: edgecat runner build --abi {}"


@dataclass(frozen=True)
class Missing:
    """One thing that is lacking.

    Attributes:
        what: the thing, and what it is needed for.
        hint: the command that brings it.
    """

    what: str
    hint: str


def missing(abi: str, flavour: str, engine: str | None = None, *, ask: bool = False) -> list[Missing]:
    """What is lacking to build the runners of a flavour; empty if they can be built.

    Args:
        abi: `x86_64` or `arm64-v8a`.
        flavour: `linux` or `android`.
        engine: of the flavour's; None for all.
        ask: whether to ask pip's and npm's registries for what is not in the cache yet; some seconds each.

    Raises:
        UsageError: there is no such target.
    """
    targets = [make_target(abi, flavour, name) for name in ([engine] if engine else ENGINES.get(flavour, ("",)))]
    if flavour == "android":
        return _android(ask)
    return _linux(ABIS[abi], [WHEELS[target.engine] for target in targets], ask)


def _linux(abi: Abi, wheels: list[Wheel], ask: bool) -> list[Missing]:
    found = []
    if find_compiler(abi) is None:
        found.append(Missing(f"{compiler_name(abi)}, the compiler for {abi.name}", compiler_hint(abi)))
    fetched = [wheel for wheel in wheels if not is_at_hand(wheel, abi)]
    if fetched and importlib.util.find_spec("pip") is None:
        names = ", ".join(f"{wheel.project} {wheel.version}" for wheel in fetched)
        found.append(Missing(f"pip, to fetch {names} for {abi.name}", "python -m ensurepip"))
    elif ask:
        found += [
            Missing(
                f"the wheel of {wheel.project} {wheel.version} for {abi.name}: pip finds none", _BUILD.format(abi.name)
            )
            for wheel in fetched
            if not is_offered(wheel, abi)
        ]
    return found


def _android(ask: bool) -> list[Missing]:
    found = []
    package = f"TFLite for Android ({NPM_PACKAGE} {NPM_VERSION})"
    if zig_version() is None:
        found.append(Missing("ziglang, which links for Android", ZIG_HINT))
    if npm_folder().is_dir():
        return found
    if shutil.which("npm") is None:
        found.append(Missing(f"npm, to fetch {package}", f"apt-get install npm, {_OWN}"))
    elif ask and not npm_offers():
        found.append(Missing(f"{package}: npm does not find it", f"where there is a network once, {_OWN}"))
    return found
