"""Paths of the sync service stay below the device's root directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


class OutsideRoot(Exception):
    """A path leads out of the device's root."""


@dataclass(frozen=True)
class Confinement:
    """Resolves what a host calls a path. Relative paths start at `root`; absolute ones must lie below it.

    Symbolic links and `..` are followed before the check, so neither leads out.
    """

    root: Path

    @classmethod
    def of(cls, root: Path) -> Confinement:
        """Confine to `root`, itself resolved first."""
        return cls(Path(os.path.realpath(root)))

    def target(self, path: str) -> Path:
        """The place that `path` leads to, all symbolic links followed. It need not exist.

        Raises:
            OutsideRoot: it is not below the root.
        """
        return self._checked(os.path.realpath(self.root / _clean(path)), path)

    def entry(self, path: str) -> Path:
        """The directory entry that `path` names: links on the way are followed, the last one is not.

        Raises:
            OutsideRoot: it is not below the root.
        """
        joined = self.root / _clean(path)
        if joined.name in ("", ".."):
            return self.target(path)
        return self._checked(f"{os.path.realpath(joined.parent).rstrip('/')}/{joined.name}", path)

    def _checked(self, resolved: str, path: str) -> Path:
        root = str(self.root)
        if resolved != root and not resolved.startswith(root.rstrip("/") + "/"):
            raise OutsideRoot(f"{path!r} is outside this embedded device; its files are below {root}")
        return Path(resolved)


def _clean(path: str) -> str:
    if "\0" in path:
        raise OutsideRoot(f"no path: {path!r}")
    return path
