"""A model on the embedded device: pushed once, answering as it does in process, refusing what it should."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.deployed import FRAME_IMAGES, DeployedModel
from edge.deployment import deploy, push_artifact, push_runner, start
from edge.devices.opening import OpenDevice
from edge.runner.bundle import runner_bundle
from edge.runner.messages import BenchmarkRequest
from edge.runner.packages import python_package
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError, DataError, DeviceError, ExitCode, UsageError
from foundation.files import sha256_bytes
from foundation.manifest import Artifact, load_artifact, manifest_path, save_manifest

if TYPE_CHECKING:
    from export.exporting import Exported

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(60, func_only=True)]

Exports = Callable[[str, int], "Exported"]


@pytest.fixture(scope="module")
def artifact(exported: Exports) -> Artifact:
    return exported("tflite_int8", 1).artifact


@pytest.fixture(scope="module")
def images(artifact: Artifact) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (1500, *artifact.manifest.image.shape), np.uint8)


@pytest.fixture(scope="module")
def labels(artifact: Artifact, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Of the same file in its runtime, in this process."""
    from export.parity import runtime_logits

    return runtime_logits(artifact, images).argmax(1)


@pytest.fixture(scope="module")
def deployed(phone: OpenDevice, artifact: Artifact) -> Iterator[DeployedModel]:
    with deploy(phone, artifact) as model:
        yield model


def inode(phone: OpenDevice, path: str) -> bytes:
    return phone.adb.check_shell(f"ls -i '{path}'").split()[0]


def copy_of(artifact: Artifact, place: Path) -> Artifact:
    """The same model and manifest elsewhere, to be spoilt."""
    shutil.copy(artifact.path, place)
    return save_manifest(place, artifact.manifest)


# --- pushing


def test_what_is_on_the_device_already_is_not_sent_again(phone: OpenDevice, artifact: Artifact) -> None:
    remote = push_artifact(phone, artifact)
    before = [inode(phone, remote), inode(phone, f"{remote}.json")]
    assert push_artifact(phone, artifact) == remote
    assert [inode(phone, remote), inode(phone, f"{remote}.json")] == before
    assert phone.adb.sha256(remote) == artifact.manifest.sha256
    assert phone.adb.sha256(f"{remote}.json") is not None


def test_what_was_spoilt_on_the_device_is_sent_again(phone: OpenDevice, artifact: Artifact) -> None:
    remote = push_artifact(phone, artifact)
    phone.adb.check_shell(f"printf x >> '{remote}'")
    assert push_artifact(phone, artifact) == remote
    assert phone.adb.sha256(remote) == artifact.manifest.sha256


def test_models_of_one_name_and_other_content_do_not_displace_each_other(
    phone: OpenDevice, artifact: Artifact, exported: Exports, tmp_path: Path
) -> None:
    other = exported("tflite_fp32", 3).artifact
    renamed = tmp_path / artifact.path.name
    shutil.copy(other.path, renamed)
    assert push_artifact(phone, artifact) != push_artifact(phone, save_manifest(renamed, other.manifest))


def test_the_runner_is_sent_once(phone: OpenDevice) -> None:
    folder = push_runner(phone, python_package())
    before = inode(phone, f"{folder}/runner.pyz")
    assert push_runner(phone, python_package()) == folder
    assert inode(phone, f"{folder}/runner.pyz") == before


def test_a_runner_of_which_a_file_is_torn_is_made_whole(phone: OpenDevice) -> None:
    folder = push_runner(phone, python_package())
    phone.adb.check_shell(f"echo torn > {folder}/runner.pyz")
    assert push_runner(phone, python_package()) == folder
    assert phone.adb.sha256(f"{folder}/runner.pyz") == sha256_bytes(runner_bundle())


def test_a_name_with_spaces_and_quotes_can_be_deployed(phone: OpenDevice, artifact: Artifact, tmp_path: Path) -> None:
    odd = copy_of(artifact, tmp_path / "it's a $(model) ü.tflite")
    with deploy(phone, odd) as model:
        assert model.hello.model_sha256 == artifact.manifest.sha256


# --- answers


def test_it_says_what_it_is(deployed: DeployedModel, artifact: Artifact) -> None:
    assert deployed.identity == deployed.hello.model_sha256 == artifact.manifest.sha256
    assert (deployed.classes, deployed.image_shape, deployed.policy) == (4, (16, 16, 1), AnswerPolicy("label"))


def test_1500_of_1500_labels_equal_those_of_the_runtime_in_process(
    deployed: DeployedModel, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    answers = deployed.query(images)
    np.testing.assert_array_equal(answers.top1(), labels)
    assert answers.scores is None
    assert np.all(answers.device_ns > 0)


@pytest.mark.parametrize("count", [1, FRAME_IMAGES - 1, FRAME_IMAGES, FRAME_IMAGES + 1, 5 * FRAME_IMAGES])
def test_batches_around_a_frame_s_size_are_answered_whole_and_in_order(
    deployed: DeployedModel, images: NDArray[np.uint8], labels: NDArray[np.int64], count: int
) -> None:
    np.testing.assert_array_equal(deployed.query(images[-count:]).top1(), labels[-count:])


@pytest.mark.parametrize("policy", ["topk:3", "scores"])
def test_policies_hold_on_the_device(
    phone: OpenDevice, exported: Exports, images: NDArray[np.uint8], policy: str
) -> None:
    from export.parity import runtime_logits

    artifact = exported("executorch_int8", 1).artifact
    parsed = AnswerPolicy.parse(policy)
    with deploy(phone, artifact, parsed) as model:
        answers = model.query(images[:300])
    labels, scores = parsed.apply(runtime_logits(artifact, images[:300]))
    np.testing.assert_array_equal(answers.labels, labels)
    assert answers.scores is not None
    assert scores is not None
    np.testing.assert_allclose(answers.scores, scores, rtol=0, atol=1e-6)


def test_images_in_another_order_in_memory_are_answered_as_they_are_indexed(
    deployed: DeployedModel, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> None:
    np.testing.assert_array_equal(deployed.query(images[:600:2]).top1(), labels[:600:2])
    np.testing.assert_array_equal(deployed.query(np.asfortranarray(images[:20])).top1(), labels[:20])


def test_two_models_answer_from_two_threads_at_once(
    phone: OpenDevice, artifact: Artifact, exported: Exports, images: NDArray[np.uint8]
) -> None:
    from export.parity import runtime_logits

    other = exported("tflite_fp32", 3).artifact
    inputs = [images, np.repeat(images, 3, axis=3)]
    got: dict[int, NDArray[np.int64]] = {}

    def ask(number: int, model: DeployedModel) -> None:
        got[number] = np.concatenate([model.query(inputs[number][k : k + 500]).top1() for k in range(0, 1500, 500)])

    with deploy(phone, artifact) as one, deploy(phone, other) as two:
        threads = [threading.Thread(target=ask, args=pair) for pair in enumerate((one, two))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for number, model in enumerate((artifact, other)):
        np.testing.assert_array_equal(got[number], runtime_logits(model, inputs[number]).argmax(1))


def test_benchmark_measures_on_the_device(deployed: DeployedModel, images: NDArray[np.uint8]) -> None:
    measured = deployed.benchmark(BenchmarkRequest(warmup_runs=3, min_runs=40, min_seconds=0.05, max_seconds=10))
    assert len(measured.samples_ns) >= 40
    assert measured.samples_ns.sum() < 10e9
    assert 1e3 < np.median(measured.samples_ns) < 1e8
    assert measured.warmup_runs == 3
    assert measured.load_ns == deployed.hello.load_ns > 0
    assert measured.peak_rss_bytes is None or 1 << 20 < measured.peak_rss_bytes < 8 << 30
    assert len(deployed.query(images[:3])) == 3


# --- images that are refused


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 16, 15, 1), np.uint8),
        np.zeros((2, 16, 16, 3), np.uint8),
        np.zeros((2, 1, 16, 16), np.uint8),
        np.zeros((16, 16, 1), np.uint8),
        np.zeros((16, 16), np.uint8),
        np.zeros((0, 16, 16, 1), np.uint8),
        np.zeros((2, 16, 16, 1), np.float32),
        np.full((2, 16, 16, 1), np.nan, np.float32),
        np.zeros((2, 16, 16, 1), np.int8),
        np.zeros((2, 16, 16, 1), np.bool_),
    ],
    ids=lambda wrong: f"{wrong.dtype}-{wrong.shape}",
)
def test_images_of_another_shape_or_dtype_are_a_data_error_and_cost_nothing(
    deployed: DeployedModel, images: NDArray[np.uint8], labels: NDArray[np.int64], wrong: NDArray[Any]
) -> None:
    with pytest.raises(DataError, match=r"where uint8 \(N, 16, 16, 1\) are meant") as caught:
        deployed.query(wrong)
    assert caught.value.exit_code == ExitCode.DATA
    np.testing.assert_array_equal(deployed.query(images[:2]).top1(), labels[:2])


# --- models that are refused


def test_a_policy_that_names_more_classes_than_there_are_is_a_usage_error(
    phone: OpenDevice, artifact: Artifact
) -> None:
    with pytest.raises(UsageError, match="more than the 4 classes"):
        deploy(phone, artifact, AnswerPolicy.parse("topk:5"))


def test_a_model_replaced_on_the_device_after_the_push_is_refused(
    phone: OpenDevice, artifact: Artifact, exported: Exports, tmp_path: Path
) -> None:
    remote = push_artifact(phone, copy_of(artifact, tmp_path / "replaced.tflite"))
    phone.adb.push(exported("tflite_fp32", 3).artifact.path, remote)
    with pytest.raises(ArtifactError, match=r"refuses the model: .* has sha256 .*, asked for"):
        start(phone, remote, artifact.manifest, AnswerPolicy("label"))


def test_a_model_torn_on_the_device_is_refused(phone: OpenDevice, artifact: Artifact, tmp_path: Path) -> None:
    remote = push_artifact(phone, copy_of(artifact, tmp_path / "torn.tflite"))
    phone.adb.push(artifact.path.read_bytes()[:1000], remote)
    with pytest.raises(ArtifactError, match="refuses the model"):
        start(phone, remote, artifact.manifest, AnswerPolicy("label"))


def test_a_model_that_is_not_on_the_device_is_refused(phone: OpenDevice, artifact: Artifact) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        start(phone, f"{phone.info.workdir}/models/absent.tflite", artifact.manifest, AnswerPolicy("label"))


@pytest.mark.parametrize("kept", [0, 7, 4000])
def test_a_model_torn_on_the_host_is_refused_before_it_is_pushed(artifact: Artifact, tmp_path: Path, kept: int) -> None:
    torn = copy_of(artifact, tmp_path / "torn.tflite")
    torn.path.write_bytes(torn.path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match="torn") as caught:
        load_artifact(torn.path)
    assert caught.value.exit_code == ExitCode.DATA


def test_a_pte_that_is_called_tflite_is_refused(exported: Exports, tmp_path: Path) -> None:
    program = exported("executorch_int8", 1).artifact
    renamed = tmp_path / "model.tflite"
    shutil.copy(program.path, renamed)
    shutil.copy(program.manifest_path, manifest_path(renamed))
    with pytest.raises(ArtifactError, match=r"holds a \.pte model where a \.tflite is meant"):
        load_artifact(renamed)


def test_a_manifest_that_promises_other_classes_is_refused(
    phone: OpenDevice, artifact: Artifact, tmp_path: Path
) -> None:
    place = tmp_path / "promise.tflite"
    shutil.copy(artifact.path, place)
    promised = save_manifest(place, artifact.manifest.model_copy(update={"class_names": ("a", "b", "c")}))
    with pytest.raises(ArtifactError, match="the manifest says"):
        deploy(phone, promised)


def test_nothing_is_asked_after_the_end(phone: OpenDevice, artifact: Artifact, images: NDArray[np.uint8]) -> None:
    model = deploy(phone, artifact)
    model.close()
    model.close()
    with pytest.raises(DeviceError, match="is over"):
        model.query(images[:1])
    with pytest.raises(DeviceError):
        model.benchmark(BenchmarkRequest(0, 1, 0.0, 1.0))
