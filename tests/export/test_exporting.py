"""Every recipe gives a file that answers as its network does, in the runtime that it is meant for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.runner.engines import Classifier, load_engine
from foundation.errors import ArtifactError, CheckFailed, DataError, ExitCode
from foundation.files import sha256_arrays, sha256_file
from foundation.manifest import Artifact, load_artifact

if TYPE_CHECKING:
    from export.exporting import Exported, Source

pytestmark = pytest.mark.export

Exports = Callable[[str, int], "Exported"]
RECIPES = ("tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8")
EVERY_PIXEL = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


@pytest.fixture(params=RECIPES)
def made(request: pytest.FixtureRequest, exported: Exports) -> Exported:
    return exported(request.param, 1)


@pytest.fixture(scope="module")
def images() -> NDArray[np.uint8]:
    return np.random.default_rng(11).integers(0, 256, (500, 16, 16, 1), np.uint8)


def classifier(artifact: Artifact) -> Classifier:
    manifest = artifact.manifest
    engine = load_engine(manifest.runtime, artifact.path.read_bytes(), 1)
    return Classifier(engine, manifest.image.shape, manifest.image.mean, manifest.image.std, manifest.input.layout)


def test_every_recipe_passes_its_gate(made: Exported) -> None:
    from export.parity import demand

    assert made.parity.ok
    assert made.parity.images == 500
    assert made.parity.agreement >= made.parity.min_agreement
    assert 0 < made.parity.rms <= made.parity.max_abs
    demand(made.parity, made.artifact.manifest.name)


@pytest.mark.parametrize("recipe", ["tflite_int8", "executorch_fp32"])
def test_images_of_three_channels_pass_too(exported: Exports, recipe: str) -> None:
    assert exported(recipe, 3).parity.ok


def test_the_manifest_describes_the_file(made: Exported, source_of: Callable[[int], Source]) -> None:
    source, manifest = source_of(1), made.artifact.manifest
    assert load_artifact(made.artifact.path) == made.artifact
    assert manifest.bytes == made.artifact.path.stat().st_size
    assert manifest.sha256 == sha256_file(made.artifact.path)
    assert manifest.name == manifest.recipe == f"{manifest.runtime}_{manifest.precision}"
    assert manifest.file == made.artifact.path.name
    assert manifest.class_names == source.class_names
    assert manifest.victim_sha256 == source.sha256
    assert manifest.image.shape == (16, 16, 1)
    assert manifest.versions["torch"]
    quantised = manifest.precision == "int8"
    assert manifest.calibration_sha256 == (sha256_arrays(source.calibration[:128]) if quantised else None)


def test_the_manifest_s_input_is_the_engine_s(made: Exported) -> None:
    manifest = made.artifact.manifest
    found = load_engine(manifest.runtime, made.artifact.path.read_bytes(), 1)
    assert found.input.shape == manifest.input.shape
    assert found.input.dtype == np.dtype(manifest.input.dtype)
    assert found.classes == manifest.output.shape[-1] == 4


def test_logits_of_the_export_are_those_of_the_file_in_its_runtime(
    made: Exported, source_of: Callable[[int], Source]
) -> None:
    np.testing.assert_array_equal(made.logits, classifier(made.artifact).logits(source_of(1).unseen))


def test_an_int8_tflite_takes_exactly_pixel_minus_128(exported: Exports) -> None:
    artifact = exported("tflite_int8", 1).artifact
    assert artifact.manifest.input.dtype == "int8"
    assert np.float32(artifact.manifest.input.scale) == np.float32(1 / 255)
    assert artifact.manifest.input.zero_point == -128
    stored = classifier(artifact).prepare(EVERY_PIXEL)
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(stored.ravel(), np.arange(256) - 128)


@pytest.mark.parametrize("recipe", ["tflite_fp32", "executorch_fp32", "executorch_int8"])
def test_a_float_input_is_torch_s_to_the_bit(exported: Exports, recipe: str) -> None:
    import torch

    stored = classifier(exported(recipe, 1).artifact).prepare(EVERY_PIXEL)
    eager = torch.from_numpy(EVERY_PIXEL).float() / 255
    assert stored.dtype == np.float32
    assert stored.tobytes() == eager.numpy().tobytes()


def test_int8_files_of_both_runtimes_give_the_same_labels(exported: Exports, images: NDArray[np.uint8]) -> None:
    logits = [classifier(exported(recipe, 1).artifact).logits(images) for recipe in ("tflite_int8", "executorch_int8")]
    assert len(np.unique(logits[0].argmax(1))) > 1
    np.testing.assert_array_equal(logits[0].argmax(1), logits[1].argmax(1))
    np.testing.assert_allclose(logits[0], logits[1], rtol=0, atol=1e-5)


def test_an_int8_file_is_quantised_and_a_float_file_is_not(exported: Exports) -> None:
    sizes = {recipe: exported(recipe, 3).artifact.manifest.bytes for recipe in ("tflite_int8", "tflite_fp32")}
    assert sizes["tflite_int8"] < sizes["tflite_fp32"]
    for runtime in ("tflite", "executorch"):
        assert exported(f"{runtime}_int8", 1).parity.rms > 100 * exported(f"{runtime}_fp32", 1).parity.rms


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_network_changed_after_its_export_fails_the_gate(
    exported: Exports, source_of: Callable[[int], Source], recipe: str
) -> None:
    import torch

    from export.parity import compare, demand
    from export.recipes import find_recipe
    from victim.training import predict

    source, made = source_of(1), exported(recipe, 1)
    changed = copy.deepcopy(source.network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in changed.parameters():
            weights.add_(0.5 * weights.abs().mean() * torch.randn(weights.shape, generator=generator))
    parity = compare(predict(changed, source.unseen), made.logits, made.logits, find_recipe(recipe))
    assert not parity.ok
    with pytest.raises(CheckFailed, match=f"{recipe} fails the parity gate on 500 images") as caught:
        demand(parity, recipe)
    assert caught.value.exit_code == ExitCode.CHECK_FAILED == 1


def test_a_network_that_answers_at_chance_after_its_export_fails_on_agreement_alone() -> None:
    from export.parity import compare
    from export.recipes import find_recipe

    eager = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    shuffled = np.roll(eager, 1, axis=1)
    parity = compare(eager, eager, shuffled, find_recipe("tflite_int8"))
    assert parity.agreement == 0
    assert parity.exported_agreement == 1
    assert not parity.ok


def test_right_labels_with_wrong_logits_fail_on_rms_alone() -> None:
    from export.parity import compare
    from export.recipes import find_recipe

    eager = np.random.default_rng(0).normal(size=(1000, 4)).astype(np.float32)
    parity = compare(eager, eager, 1.5 * eager, find_recipe("tflite_int8"))
    assert parity.agreement == 1
    assert not parity.ok
    np.testing.assert_allclose(parity.rms, 0.5 * np.sqrt(np.mean(eager**2)), rtol=1e-4)


def test_logits_that_are_no_numbers_fail_the_gate() -> None:
    from export.parity import compare
    from export.recipes import find_recipe

    eager = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
    assert not compare(eager, eager, np.full_like(eager, np.nan), find_recipe("tflite_int8")).ok


def test_fewer_than_500_unseen_images_are_a_data_error_and_no_export(
    source_of: Callable[[int], Source], tmp_path: Path
) -> None:
    from export.exporting import export
    from export.recipes import find_recipe

    source = replace(source_of(1), unseen=source_of(1).unseen[:499])
    with pytest.raises(DataError, match="has 499 images, it needs 500"):
        export(source, find_recipe("tflite_fp32"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_too_few_calibration_images_are_a_data_error(source_of: Callable[[int], Source], tmp_path: Path) -> None:
    from export.exporting import export
    from export.recipes import find_recipe

    source = replace(source_of(1), calibration=source_of(1).calibration[:127])
    with pytest.raises(DataError, match="calibrates on 128 images, 127 given"):
        export(source, find_recipe("tflite_int8"), tmp_path)


def test_an_export_leaves_the_network_as_it_was(source_of: Callable[[int], Source], made: Exported) -> None:
    """Neither its weights nor their places: the thief is held against the same network afterwards."""
    import torch

    from victim.training import predict

    source = source_of(1)
    assert not source.network.training
    assert all(weights.dtype == torch.float32 for weights in source.network.parameters())
    eager = predict(source.network, source.unseen)
    share = (eager.argmax(1) == made.logits.argmax(1)).mean()
    assert share == made.parity.agreement


def test_a_file_that_does_not_fit_its_manifest_is_refused_in_process(exported: Exports) -> None:
    from export.parity import runtime_logits

    artifact = exported("tflite_int8", 1).artifact
    image = artifact.manifest.image.model_copy(update={"height": 8})
    wrong = replace(artifact, manifest=artifact.manifest.model_copy(update={"image": image}))
    with pytest.raises(ArtifactError, match="its manifest says"):
        runtime_logits(wrong, np.zeros((1, 8, 16, 1), np.uint8))
