"""Checkpoints of one half: a file for each kept step, whole or absent, the last few of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from defense.split.state import State, read_state, write_state
from foundation.errors import ArtifactError

# A half that is killed right after it has kept a step is one ahead of the other: so more than one.
KEPT = 3


@dataclass(frozen=True)
class Checkpoints:
    """Of one half, in a directory that may hold the other's too.

    Attributes:
        directory: made if need be.
        half: `client` or `server`.
        configuration: SHA-256 of what is being trained; checkpoints of anything else are refused.
    """

    directory: Path
    half: str
    configuration: str

    def steps(self) -> tuple[int, ...]:
        """Steps that are kept, in order."""
        names = (re.fullmatch(rf"{self.half}-(\d+)\.safetensors", path.name) for path in self.directory.glob("*"))
        return tuple(sorted(int(name[1]) for name in names if name is not None))

    def write(self, step: int, state: State, record: str = "") -> None:
        """Keep a step, and let go of all but the last few."""
        write_state(self._path(step), state, json.dumps({"configuration": self.configuration, "record": record}))
        for old in self.steps()[:-KEPT]:
            self._path(old).unlink(missing_ok=True)

    def read(self, step: int) -> tuple[State, str]:
        """State and record of a step.

        Raises:
            ArtifactError: it is torn, not there, or of other settings.
        """
        state, header = read_state(self._path(step))
        words = json.loads(header)
        if words["configuration"] != self.configuration:
            raise ArtifactError(
                f"{self._path(step)} was trained under other settings", hint="give those, or start anew elsewhere"
            )
        return state, words["record"]

    def forget_after(self, step: int) -> None:
        """Let go of later steps: they are of a road that is not taken."""
        for later in self.steps():
            if later > step:
                self._path(later).unlink(missing_ok=True)

    def clear(self) -> None:
        """Let go of all."""
        self.forget_after(-1)

    def _path(self, step: int) -> Path:
        return self.directory / f"{self.half}-{step:08d}.safetensors"
