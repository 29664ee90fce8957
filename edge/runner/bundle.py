"""The Python runner as one file that can be pushed: a zip application, the same bytes for the same sources."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from importlib import resources

# Everything the runner imports of ours. A test starts it alone, away from the host's packages.
_MODULES = {
    "foundation": ("__init__.py", "errors.py", "answers.py", "perturbations.py", "portable.py"),
    "edge": ("__init__.py",),
    "edge.runner": ("__init__.py", "affinity.py", "wire.py", "messages.py", "preprocessing.py", "serve.py"),
    "edge.runner.engines": ("__init__.py", "flatbuffer.py", "tflite.py", "executorch.py"),
}
# Packages of --packages=DIR go behind the bundle and before the device's own, while numpy is not yet imported.
_MAIN = """\
import sys
option = "--packages="
sys.path[1:1] = [word[len(option):] for word in sys.argv[1:] if word.startswith(option)]
from edge.runner.serve import main
sys.exit(main())
"""


@cache
def runner_bundle() -> bytes:
    """The zip application's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry("__main__.py"), _MAIN)
        for package, names in _MODULES.items():
            for name in names:
                source = resources.files(package).joinpath(name).read_bytes()
                archive.writestr(_entry(f"{package.replace('.', '/')}/{name}"), source)
    return buffer.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    """A fixed date, so that the bundle's hash changes only with its content."""
    return zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
