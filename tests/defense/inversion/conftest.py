"""Puts the images and networks that these tests share on the path."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode puts no directory of tests on the path.
sys.path.append(str(Path(__file__).parent))
