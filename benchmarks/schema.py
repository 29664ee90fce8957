"""The shape of every record of a run (`benchmarks.records` reads and writes them).

A record's `kind` says which it is; every one carries `schema_version`, `run_id` and `created`. Where a device cannot
tell a number the field is null: nothing is guessed. NaN and infinity are refused, and so are unknown fields.

Shares (accuracy, fidelity, agreement) are in [0, 1]; intervals are (low, high) at 95 %; images are told by class index.
"""

from __future__ import annotations

from typing import Annotated, Literal, Union

from pydantic import Field, JsonValue, model_validator

from benchmarks.schema_base import BaseRecord, Count, DeviceKind, Interval, Model, Seconds, Share
from benchmarks.schema_defence import DetectionReport, PolicyComparison, SplitEvaluation
from benchmarks.schema_latency import Distribution, Latency, LayerProfile, Throughput
from benchmarks.schema_theft import Attack, Gain
from foundation.manifest import Precision, Runtime


class Context(BaseRecord):
    """The machine, the software and the settings of a run."""

    kind: Literal["context"] = "context"
    command: list[str]
    edgecat_version: str
    python: str
    platform: str
    cpu: str | None
    cores: int
    memory_bytes: int | None
    versions: dict[str, str]
    quick: bool
    seed: int
    settings: dict[str, JsonValue]


class SplitSizes(Model):
    """Images in each split."""

    train: Count
    val: Count
    test: Count
    thief: Count


class DatasetFacts(Model):
    """What the victim was trained and tested on. `image_shape` is height, width, channels."""

    name: str
    sha256: str
    class_names: list[str]
    sizes: SplitSizes
    image_shape: tuple[int, int, int]


class Victim(BaseRecord):
    """The float victim, measured in process on the test split.

    Attributes:
        confusion: rows are true classes, columns predicted ones; counts of test images.
        labels: true class of each test image, in the split's order.
        predictions: the victim's class for each test image, in the same order.
    """

    kind: Literal["victim"] = "victim"
    dataset: DatasetFacts
    architecture: str
    parameters: Count
    sha256: str
    accuracy: Share
    accuracy_ci: Interval
    macro_f1: Share
    epochs: Count
    seconds_train: Seconds
    confusion: list[list[int]]
    labels: list[int]
    predictions: list[int]

    @model_validator(mode="after")
    def _one_prediction_each(self) -> Victim:
        if len(self.labels) != len(self.predictions):
            raise ValueError(f"{len(self.labels)} labels but {len(self.predictions)} predictions")
        return self


class Parity(Model):
    """What the parity gate measured of an exported model, in its own runtime, against the eager float model.

    Attributes:
        images: how many images, never trained or calibrated on.
        agreement: share of equal top-1 classes.
        rms: root mean square error of the logits.
        max_abs: largest absolute error of a logit.
        exported_agreement: the same share for the exported program before it became a file.
        min_agreement: the recipe's bound.
        max_rms: the recipe's bound; None where it has none.
        ok: whether the bounds held.
    """

    images: Count
    agreement: Share
    rms: Annotated[float, Field(ge=0)]
    max_abs: Annotated[float, Field(ge=0)]
    exported_agreement: Share | None = None
    min_agreement: Share
    max_rms: float | None = None
    ok: bool


class LayerError(Model):
    """How far one layer's output is from what it should be; see `export.layers.LayerError`."""

    layer: str
    relative_rms: float | None
    parts: bool


def first_parting(layers: list[LayerError]) -> str | None:
    """The first layer that parts; None: none does."""
    return next((error.layer for error in layers if error.parts), None)


class RuntimeParity(Model):
    """How a runtime elsewhere answers for a file; see `export.across.RuntimeParity`."""

    engine: str
    device_kind: DeviceKind
    refused: str | None
    agreement: Share | None
    rms: float | None
    max_abs: float | None
    equal: Share | None
    ok: bool
    layers: list[LayerError] = Field(default_factory=list)

    @property
    def parts_at(self) -> str | None:
        """The first layer that is off, where layers were looked at."""
        return first_parting(self.layers)


class ArtifactRecord(BaseRecord):
    """An exported model file.

    Attributes:
        elsewhere: on a device and in the older runtime, where they were asked.
        layers: each against the float network's, where they were looked at.
    """

    kind: Literal["artifact"] = "artifact"
    name: str
    runtime: Runtime
    precision: Precision
    recipe: str
    bytes: Count
    sha256: str
    seconds_export: Seconds
    parity: Parity
    elsewhere: list[RuntimeParity] = Field(default_factory=list)
    layers: list[LayerError] = Field(default_factory=list)

    @property
    def parts_at(self) -> str | None:
        """The first layer that is off, where layers were looked at."""
        return first_parting(self.layers)


class Device(BaseRecord):
    """The device that a run used. `serial_hash` identifies it without telling its serial number."""

    kind: Literal["device"] = "device"
    spec: str
    device_kind: DeviceKind
    serial_hash: str | None
    model: str | None
    abi: str | None
    os_version: str | None


class AccuracyOnDevice(BaseRecord):
    """What the deployed model answered on the test split.

    Attributes:
        engine: the runtime that answered, and its version, as the runner named it; None: an older record.
        images: how many test images were asked.
        labels_compared: how many of them the host's runtime was also asked in process on the host; 0: not compared.
        labels_equal: how many labels were the same in both.
        predictions: the label of each image asked, in the test split's order.
        device_ns: nanoseconds of inference for an image, as the device measured them.
    """

    kind: Literal["accuracy_on_device"] = "accuracy_on_device"
    artifact: str
    device_kind: DeviceKind
    engine: str | None = None
    accuracy: Share
    accuracy_ci: Interval
    images: Count
    labels_compared: Count
    labels_equal: Count
    predictions: list[int]
    device_ns: Distribution | None = None


Record = Annotated[
    Union[  # noqa: UP007 - a runtime value on 3.10
        Context,
        Victim,
        ArtifactRecord,
        Device,
        AccuracyOnDevice,
        Latency,
        Throughput,
        LayerProfile,
        Attack,
        Gain,
        SplitEvaluation,
        PolicyComparison,
        DetectionReport,
    ],
    Field(discriminator="kind"),
]
