"""The gate beyond this process: a device, and the older runtime that answers some files with nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.devices.opening import OpenDevice
from edge.runner import legacy
from export.recipes import find_recipe
from foundation.files import sha256_file
from foundation.manifest import Artifact, save_manifest

if TYPE_CHECKING:
    from export.across import RuntimeParity
    from export.exporting import Exported, Source

pytestmark = [pytest.mark.export, pytest.mark.device, pytest.mark.timeout(180, func_only=True)]

Exports = Callable[[str, int], "Exported"]
Ask = Callable[..., "list[RuntimeParity]"]


@pytest.fixture
def ask(exported: Exports, source_of: Callable[[int], Source]) -> Ask:
    """Hold a file (a recipe's, or another) against the small network elsewhere."""

    def asked(recipe: str, device: OpenDevice | None, artifact: Artifact | None = None) -> list[RuntimeParity]:
        from export.across import ask_elsewhere

        made, images = exported(recipe, 1), source_of(1).unseen
        return list(
            ask_elsewhere(artifact or made.artifact, made.eager, made.logits, images, find_recipe(recipe), device)
        )

    return asked


@pytest.fixture
def no_older(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "missing", lambda: ["not here"])


@pytest.fixture
def older(legacy_packages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(legacy_packages.parents[1]))


@pytest.mark.usefixtures("no_older")
@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_int8", "tflite_int8_float_io"])
def test_a_device_answers_as_the_network_and_as_the_runtime_here(ask: Ask, phone: OpenDevice, recipe: str) -> None:
    (found,) = ask(recipe, phone)
    assert found.ok
    assert found.refused is None
    assert found.device_kind == "embedded"
    assert found.equal == 1
    assert (found.agreement or 0) >= find_recipe(recipe).min_agreement


@pytest.mark.usefixtures("no_older")
def test_answers_of_another_network_on_the_device_are_found(
    exported: Exports, source_of: Callable[[int], Source], phone: OpenDevice
) -> None:
    from export.across import ask_elsewhere

    made, images, recipe = exported("tflite_fp32", 1), source_of(1).unseen, find_recipe("tflite_fp32")
    another = np.roll(made.eager, 1, axis=1)
    (found,) = ask_elsewhere(made.artifact, another, made.logits, images, recipe, phone)
    assert not found.ok
    assert found.refused is None


@pytest.mark.usefixtures("older")
def test_per_channel_dynamic_int8_is_caught_in_the_older_runtime(ask: Ask, exported: Exports, tmp_path: Path) -> None:
    """It passes the gate of this process, and there it answers at chance, without a word."""
    from ai_edge_quantizer import quantizer, recipe

    from export.parity import runtime_logits

    base = exported("tflite_fp32", 1)
    path = tmp_path / "dynamic.tflite"
    quantizer.Quantizer(str(base.artifact.path), recipe.dynamic_wi8_afp32()).quantize().export_model(str(path))
    changes = {"name": "dynamic", "file": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
    artifact = save_manifest(path, base.artifact.manifest.model_copy(update=changes))
    here = runtime_logits(artifact, np.random.default_rng(0).integers(0, 256, (50, 16, 16, 1), np.uint8))
    assert np.isfinite(here).all()
    (found,) = ask("tflite_int8_dynamic", None, artifact)
    assert found.engine == "tflite-runtime 2.14.0"
    assert not found.ok
    assert (found.agreement or 0) < 0.7
    # The convolutions before it are right.
    assert [error.layer.split()[0] for error in found.layers if error.parts] == ["FULLY_CONNECTED"]


@pytest.mark.usefixtures("older")
@pytest.mark.parametrize("recipe", ["tflite_int8_dynamic", "tflite_int8", "tflite_fp16"])
def test_our_files_are_right_in_the_older_runtime(ask: Ask, recipe: str) -> None:
    (found,) = ask(recipe, None)
    assert found.engine == "tflite-runtime 2.14.0"
    assert found.ok, found


@pytest.mark.usefixtures("older")
def test_a_pte_file_is_not_asked_about_in_tflite_s_older_runtime(ask: Ask) -> None:
    assert ask("executorch_int8", None) == []


@pytest.mark.usefixtures("no_older")
def test_a_runtime_that_refuses_a_file_says_why(ask: Ask, exported: Exports, phone: OpenDevice, tmp_path: Path) -> None:
    base = exported("tflite_fp32", 1).artifact
    path = tmp_path / "torn.tflite"
    path.write_bytes(base.path.read_bytes()[:2000])
    changes = {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
    (found,) = ask("tflite_fp32", phone, save_manifest(path, base.manifest.model_copy(update=changes)))
    assert "refuses the model" in (found.refused or "")
    assert found.ok
    assert found.agreement is None
