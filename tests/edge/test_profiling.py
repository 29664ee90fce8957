"""What an inference is made of: what the runners tell is read, added up, and never guessed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from edge import profiling
from edge.deployment import RunnerOptions
from edge.devices.opening import OpenDevice
from edge.profiling import LayerTime, profile
from foundation.errors import ProtocolError, UsageError
from foundation.manifest import Artifact

from .runner.native_runners import native_kind

if TYPE_CHECKING:
    from export.exporting import Exported

PHONE = cast(OpenDevice, SimpleNamespace(info=SimpleNamespace(spec="embedded")))
MODEL = cast(Artifact, SimpleNamespace(manifest=SimpleNamespace(name="net", runtime="executorch")))
# The second inference was disturbed. A delegate that tells of its inside, one that does not, and a kernel.
TOLD: dict[str, Any] = {
    "runs": 3,
    "resolution_ns": 1000,
    "steps": [
        {"name": "Convolution (NHWC, QC8) IGEMM #1", "scope": "delegated", "ns": [10_000, 900_000, 20_000]},
        {"name": "Static Reshape (NC) #1", "scope": "delegated", "ns": [0, 0, 0]},
        {"name": "", "scope": "delegate", "ns": [20_000, 910_000, 30_000]},
        {"name": "", "scope": "delegate", "ns": [5_000, 5_000, 5_000]},
        {"name": "convolution.out", "scope": "operator", "ns": [500, 500, 500]},
        {"name": "", "scope": "inference", "ns": [40_000, 930_000, 50_000]},
    ],
}


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Has a device answer with this profile."""

    def told(document: Any) -> None:
        hello = SimpleNamespace(profile=document, engine="ExecuTorch 1", runner="native", threads=1)

        class Model:
            def __enter__(self) -> SimpleNamespace:
                return SimpleNamespace(hello=hello)

            def __exit__(self, *_: object) -> None:
                pass

        monkeypatch.setattr(profiling, "deploy", lambda *_, **__: Model())

    return told


def test_times_are_means_over_inferences_that_were_not_disturbed(tell: Callable[[Any], None]) -> None:
    tell(TOLD)
    found = profile(PHONE, MODEL, 3)
    assert found is not None
    assert (found.runs, found.counted, found.inference_us, found.delegates_us) == (3, 2, 45.0, 30.0)
    assert found.layers == (
        LayerTime("Convolution (NHWC, QC8) IGEMM #1", "Convolution", "delegated", 15.0, 15 / 45),
        LayerTime("Static Reshape (NC) #1", "Static Reshape", "delegated", 0.0, 0.0),
        LayerTime("", "delegate", "delegate", 5.0, 5 / 45),
        LayerTime("convolution.out", "convolution", "operator", 0.5, 0.5 / 45),
    )
    assert found.rest_us == pytest.approx(24.5)
    assert [(one.kind, one.count) for one in found.by_kind()][:2] == [("Convolution", 1), ("delegate", 1)]


def test_where_the_runtime_tells_none_there_is_none(tell: Callable[[Any], None]) -> None:
    tell(None)
    assert profile(PHONE, MODEL, 3) is None


@pytest.mark.parametrize(
    "garbled",
    [
        {},
        TOLD | {"steps": []},
        TOLD | {"steps": TOLD["steps"][:-1]},
        TOLD | {"steps": [*TOLD["steps"], {"name": "", "scope": "elsewhere", "ns": [1, 2, 3]}]},
        TOLD | {"steps": [*TOLD["steps"], {"name": "", "scope": "operator", "ns": [1, 2]}]},
        TOLD | {"steps": [*TOLD["steps"], {"name": "", "scope": "operator", "ns": [1, -2, 3]}]},
        TOLD | {"steps": 3},
        TOLD | {"resolution_ns": "fine"},
    ],
)
def test_a_profile_that_is_none_is_a_protocol_error(tell: Callable[[Any], None], garbled: Any) -> None:
    tell(garbled)
    with pytest.raises(ProtocolError, match="profile"):
        profile(PHONE, MODEL, 3)


@pytest.mark.parametrize("runs", [0, -1, 1001])
def test_counts_that_no_runner_takes_are_wrong_usage(runs: int) -> None:
    with pytest.raises(UsageError, match="inferences"):
        profile(PHONE, MODEL, runs)


@pytest.mark.device
@pytest.mark.export
@pytest.mark.timeout(120, func_only=True)
@pytest.mark.parametrize(
    ("recipe", "engine", "scope", "kinds"),
    [
        ("tflite_int8", "litert", "delegated", {"Convolution", "Fully Connected"}),
        ("tflite_int16x8", "litert", "operator", {"CONV_2D", "FULLY_CONNECTED"}),
        ("executorch_int8", "executorch", "delegated", {"Convolution", "Fully Connected"}),
        ("executorch_portable", "executorch-kernels", "operator", {"convolution", "addmm"}),
    ],
)
def test_a_device_tells_where_its_time_goes(
    phone: OpenDevice, exported: Callable[[str, int], Exported], recipe: str, engine: str, scope: str, kinds: set[str]
) -> None:
    native_kind(f"native-{engine}")  # Skips where it cannot be built.
    artifact = exported(recipe, 1).artifact
    found = profile(phone, artifact, 20)
    assert found is not None
    assert kinds <= {layer.kind for layer in found.layers if layer.scope == scope}
    assert found.runs == 20
    assert 10 <= found.counted <= 20
    assert found.inference_us > 0
    assert sum(layer.share for layer in found.layers) <= 1
    if recipe == "tflite_int8":
        assert profile(phone, artifact, 20, RunnerOptions(runner="python")) is None
