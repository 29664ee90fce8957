"""Files that people write settings in, and what is wrong with them in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foundation.errors import DataError, EdgecatError, UsageError, first_line

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, spoilt: type[EdgecatError] = UsageError) -> dict[str, Any]:
    """The tables of a TOML file.

    Args:
        path: of the file.
        spoilt: what to raise for a file that is not TOML: a user's own has a wrong setting, one of ours is torn.

    Raises:
        DataError: it cannot be read.
        spoilt: it is not TOML.
    """
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise spoilt(f"{path} is not TOML: {first_line(error)}") from error


def first_fault(error: ValidationError) -> str:
    """The first field that is wrong, and why."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where}: {fault['msg']}" if where else fault["msg"]
