"""FLEET.toml: which devices are a clinic's, and how it tells that a model is well there."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge.deployment import RunnerOptions
from edge.devices.spec import parse_spec
from foundation.errors import UsageError
from foundation.settings_files import first_fault, read_toml


class CheckSettings(BaseModel):
    """How a model's health is told.

    Attributes:
        images: an `.npz` with `images`, uint8 [N, H, W, C], and `labels`, int [N], the expected classes; relative to
            the fleet's file. None: procedural images, and what the file answers in its runtime on this computer.
        min_agreement: share of the images that must be answered as expected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: Path | None = None
    min_agreement: float = Field(default=1.0, ge=0, le=1)


class Fleet(BaseModel):
    """Devices that are to have the same model.

    Attributes:
        devices: specs; see `edge.devices.spec.parse_spec`.
        max_failures: on so many devices the model may be unwell before all return to the former one.
        at_once: devices that are worked on at once.
        runner: what answers there; see `edge.deployment.RunnerOptions`.
        threads: of the runtime there.
        check: how health is told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    devices: tuple[str, ...] = Field(min_length=1)
    max_failures: int = Field(default=0, ge=0)
    at_once: int = Field(default=16, ge=1, le=256)
    runner: str = "auto"
    threads: int = Field(default=1, ge=1)
    check: CheckSettings = CheckSettings()

    @property
    def serving(self) -> RunnerOptions:
        """What answers on the devices."""
        return RunnerOptions(self.runner, threads=self.threads)


def read_fleet(path: Path) -> Fleet:
    """Read a fleet's file.

    Raises:
        DataError: the file cannot be read.
        UsageError: it is not TOML, has an unknown or impossible field, or a device twice or by no spec.
    """
    try:
        fleet = Fleet.model_validate(read_toml(path))
    except ValidationError as error:
        raise UsageError(
            f"{path}: {first_fault(error)}", hint='as in: devices = ["serial:A", "serial:B"]; see docs/fleets.md'
        ) from error
    return fleet.model_copy(update={"devices": _checked(path, fleet.devices), "check": _found(path, fleet.check)})


def _checked(path: Path, devices: tuple[str, ...]) -> tuple[str, ...]:
    specs = [str(parse_spec(device)) for device in devices]
    for spec in specs:
        if specs.count(spec) > 1:
            raise UsageError(f"{path}: {spec} is named twice")
        if parse_spec(spec).kind in ("embedded", "sandbox", "vm"):
            raise UsageError(
                f"{path}: {spec} is made when it is opened and is gone after, with its model",
                hint="keep one running: edgecat emulator start, and name it emulator:NAME",
            )
    return tuple(specs)


def _found(path: Path, check: CheckSettings) -> CheckSettings:
    """Paths count from the file that names them."""
    return check if check.images is None else check.model_copy(update={"images": path.parent / check.images})
