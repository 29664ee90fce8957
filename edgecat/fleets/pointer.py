"""Which model a device uses: a small file there, renamed into place.

An app reads `active.json` in edgecat's directory on the device and loads the file that it names; see docs/fleets.md.
"""

from __future__ import annotations

import shlex
from datetime import datetime, timezone

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.devices.opening import OpenDevice
from foundation.errors import DeviceError
from foundation.manifest import Manifest


class ActiveModel(BaseModel):
    """The content of `active.json`.

    Attributes:
        path: of the model on the device.
        name: by its manifest.
        sha256: of the file.
        since: when it was made active, UTC.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = 1
    path: str
    name: str
    sha256: str
    since: datetime

    @classmethod
    def now(cls, path: str, manifest: Manifest) -> ActiveModel:
        """A model that becomes active now."""
        since = datetime.now(timezone.utc).replace(microsecond=0)
        return cls(path=path, name=manifest.name, sha256=manifest.sha256, since=since)


def read_active(device: OpenDevice) -> ActiveModel | None:
    """What a device uses; None: nothing that was deployed to it.

    Raises:
        DeviceError: it does not answer, or the file there is not ours.
    """
    place = _place(device)
    if device.adb.stat(place) is None:
        return None
    content = device.adb.check_shell(f"cat {shlex.quote(place)}")
    try:
        return ActiveModel.model_validate_json(content)
    except ValidationError as error:
        raise DeviceError(
            f"{place} is none of edgecat's", device=device.info.spec, hint="look at it, and remove it there"
        ) from error


def write_active(device: OpenDevice, model: ActiveModel | None) -> None:
    """Say what a device shall use, whole or not at all; None: nothing.

    Raises:
        DeviceError: it cannot be written; the device uses what it did before.
    """
    if model is None:
        device.adb.remove(_place(device))
    else:
        device.adb.push_verified(model.model_dump_json(indent=2).encode(), _place(device))


def _place(device: OpenDevice) -> str:
    return f"{device.info.workdir}/active.json"
