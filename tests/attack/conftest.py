"""Fixtures of the attack's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from victim.dataset import Dataset, Split

# pytest's importlib mode puts no directory of tests on the path; these tests share victims that answer in process.
sys.path.append(str(Path(__file__).parent))

from victims_in_process import numbered_images


@pytest.fixture
def dataset() -> Dataset:
    """Three classes, no image twice: 60 to train, 20 to validate, 30 to test, 200 for the thief; 16 x 16 x 1."""
    sizes = {"train": 60, "val": 20, "test": 30, "thief": 200}
    splits, first = {}, 0
    for name, size in sizes.items():
        rows = np.arange(first, first + size)
        splits[name] = Split(numbered_images(size, first), rows % 3, rows)
        first += size
    return Dataset("numbered", ("a", "b", "c"), **splits).checked()
