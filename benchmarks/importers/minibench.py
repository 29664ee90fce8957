"""Minibench's `benchmark_results.json`, ExecuTorch's Android benchmark app.

extension/benchmark/android/benchmark: a list of `{benchmarkModel {name, backend, quantization}, metric, actualValue,
targetValue, deviceInfo {device, arch, os, totalMem, availMem}}`. `device` is the brand, `arch` the model's name. It
keeps no samples: a mean, of newer versions a mean of the middle 80 % as well, which has no place in our records.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from benchmarks.importers.told import Told
from benchmarks.records import Reported
from foundation.errors import DataError

_TOOL = "Minibench"
_MEAN, _LOAD, _STATUS = "avg_inference_latency(ms)", "model_load_time(ms)", "load_status"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class _Model(_Part):
    name: str
    backend: str = ""
    quantization: str = ""


class _Device(_Part):
    device: str = ""
    arch: str = ""
    os: str = ""


class _Metric(_Part):
    model: _Model = Field(alias="benchmarkModel")
    metric: str
    value: float = Field(alias="actualValue", ge=0)
    device: _Device = Field(default_factory=_Device, alias="deviceInfo")


def parse(text: str) -> list[Told] | None:
    """What it told of each model; None: not from this tool. A model that it could not load is left out.

    Raises:
        DataError: a list of this shape with a value of the wrong type.
    """
    try:
        content: Any = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, list) or not all(isinstance(row, dict) and "benchmarkModel" in row for row in content):
        return None
    try:
        metrics = [_Metric.model_validate(row) for row in content]
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{_TOOL}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    models = dict.fromkeys(metric.model for metric in metrics)
    return [told for model in models if (told := _of([m for m in metrics if m.model == model])) is not None]


def _of(metrics: list[_Metric]) -> Told | None:
    values = {metric.metric: metric.value for metric in metrics}
    if _MEAN not in values or values.get(_STATUS, 0) != 0:
        return None
    model, device = metrics[0].model, metrics[0].device
    return Told(
        tool=_TOOL,
        artifact="_".join(part for part in (model.name, model.backend, model.quantization) if part),
        engine="ExecuTorch",
        load_ms=values.get(_LOAD),
        reported=Reported(mean=1e3 * values[_MEAN]),
        device=" ".join(part for part in (device.device, device.arch) if part) or None,
        os_version=device.os.removeprefix("Android ") or None,
    )
