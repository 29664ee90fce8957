"""A runner to be built: what goes into it, and how it is made. What goes into it is the key under which it is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.runner.building.targets import Target
from foundation.files import sha256_bytes
from foundation.progress import Progress


@dataclass(frozen=True)
class Plan:
    """How one runner is made.

    Attributes:
        target: what it will be.
        made_of: versions and digests of everything that goes into it.
        command: words that start it, in its own directory.
        fetch: brings the runtime; the folder of it.
        make: given that folder, fills an empty one.
    """

    target: Target
    made_of: dict[str, str]
    command: tuple[str, ...]
    fetch: Callable[[Progress], Path]
    make: Callable[[Path, Path], None]

    @property
    def key(self) -> str:
        """SHA-256 over all that it is made of."""
        lines = [f"{name}={value}" for name, value in sorted(self.made_of.items())]
        return sha256_bytes("\n".join((self.target.name, *self.command, *lines)).encode())


def sources_digest() -> str:
    """SHA-256 over our own sources: the runner's, and the programs that build it (they hold the flags)."""
    runner = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in (runner / "native", runner / "building"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                content = path.read_bytes()
                digest.update(f"{path.relative_to(runner).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
