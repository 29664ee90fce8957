"""Where things are kept that can be made again: generated images, built runners, other runtimes' packages."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_directory(*parts: str) -> Path:
    """A place in the user's cache directory, which need not be there yet; EDGECAT_CACHE_DIR moves it.

    Args:
        parts: names below it, such as `"runners", "arm64-v8a"`.
    """
    chosen = os.environ.get("EDGECAT_CACHE_DIR")
    return (Path(chosen) if chosen else user_cache_path("edgecat")).joinpath(*parts)
