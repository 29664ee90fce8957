"""What all records share: frozen, no unknown fields, no NaN; their kinds of numbers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
RAW_LIMIT = 2000

DeviceKind = Literal["physical", "emulated", "embedded"]
Share = Annotated[float, Field(ge=0, le=1)]
Interval = tuple[float, float]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Model(BaseModel):
    """Frozen, without unknown fields, without NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BaseRecord(Model):
    """What every record carries.

    Attributes:
        run_id: the run that made it; one run uses one device.
        created: when, UTC.
    """

    schema_version: int = SCHEMA_VERSION
    run_id: str
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(timezone.utc))
