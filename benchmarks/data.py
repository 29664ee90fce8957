"""Data that stays outside the repository."""

from __future__ import annotations

import os
from pathlib import Path


def radiographs() -> Path | None:
    """The chest radiographs: EDGECAT_CHESTXRAY, or beside the repository; None where they are not to be had."""
    named = os.environ.get("EDGECAT_CHESTXRAY")
    path = Path(named) if named else Path(__file__).parents[1].parent / "shared" / "data" / "chestxray64.npz"
    return path if path.is_file() else None
