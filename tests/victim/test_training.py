"""Networks, their training and their checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from foundation.errors import ArtifactError, DataError, UsageError
from victim.augmentation import augment, mix
from victim.checkpoint import CheckpointHeader, load, save
from victim.models import ARCHITECTURES, build, count_parameters
from victim.step import Step, TrainingSettings, as_input, class_weights, softened
from victim.training import fit, one_hot, predict

Images = tuple[np.ndarray, np.ndarray]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def halves() -> Images:
    """Two easy classes: bright on the left, or on the right; uint8 [200, 16, 16, 1] and labels."""
    rng = np.random.default_rng(0)
    labels = np.arange(200, dtype=np.int64) % 2
    images = rng.integers(0, 60, (200, 16, 16, 1)).astype(np.uint8)
    images[labels == 0, :, :8] += 120
    images[labels == 1, :, 8:] += 120
    return images, labels


QUICK = TrainingSettings(epochs=4, batch=32, patience=None, bf16=False)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (1, 64), (3, 64), (3, 96)])
def test_every_architecture_takes_grey_and_colour_of_any_size(architecture: str, channels: int, size: int) -> None:
    network = build(architecture, channels, 5, generator()).eval()
    assert network(torch.rand(2, channels, size, size)).shape == (2, 5)


def test_the_default_victim_is_compact() -> None:
    assert count_parameters(build("residual", 1, 4, generator())) <= 300_000


def test_one_seed_makes_one_network_and_leaves_the_global_chance_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (build("plain", 1, 3, generator(7)).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_unknown_architecture_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="unknown architecture"):
        build("resnet", 1, 2, generator())
    with pytest.raises(UsageError, match="cannot import"):
        build("no_such_module:make", 1, 2, generator())
    with pytest.raises(UsageError, match=r"not a torch\.nn\.Module"):
        build("builtins:max", 1, 2, generator())
    with pytest.raises(UsageError, match="cannot be made for"):
        build("builtins:len", 1, 2, generator())


def test_a_factory_of_the_user_s_own_is_called_with_channels_and_classes() -> None:
    network = build("torch.nn:Linear", 3, 4, generator())
    assert isinstance(network, nn.Linear)
    assert (network.in_features, network.out_features) == (3, 4)


def test_training_learns_and_leaves_the_network_in_evaluation_mode(halves: Images) -> None:
    images, labels = halves
    network = build("plain", 1, 2, generator())
    fitted = fit(network, images, one_hot(labels, 2), QUICK, generator())
    assert not fitted.network.training
    assert (predict(network, images).argmax(1) == labels).mean() > 0.95


def test_one_seed_trains_to_the_same_predictions(halves: Images) -> None:
    images, labels = halves
    logits = []
    for _ in range(2):
        network = build("plain", 1, 2, generator(3))
        fit(network, images, one_hot(labels, 2), QUICK, generator(3))
        logits.append(predict(network, images))
    assert np.array_equal(*logits)


def test_training_stops_early_only_in_the_last_third_and_once_patience_is_spent(halves: Images) -> None:
    images, labels = halves
    wrong = one_hot(1 - labels, 2)
    settings = replace(QUICK, epochs=30, patience=2)
    network = build("plain", 1, 2, generator())
    fitted = fit(network, images, one_hot(labels, 2), settings, generator(), validation=(images, wrong))
    # Against wrong labels the loss rises as the network learns: the 21st epoch is the best of those judged, or nearly.
    assert 23 <= fitted.epochs < 30


def test_two_workers_take_the_step_that_one_takes() -> None:
    images = np.random.default_rng(1).integers(0, 256, (10, 8, 8, 1)).astype(np.uint8)
    targets = torch.from_numpy(one_hot(np.arange(10) % 3, 3))
    settings = TrainingSettings(augmented=False, mixup=0.0, bf16=False)
    after = []
    for workers in (1, 2, 3):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            # No batch norm: its statistics are those of a worker's part, by design.
            network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        step = Step(network, targets, replace(settings, workers=workers), 10, generator())
        losses = [step(images, torch.arange(10)) for _ in range(3)]
        step.close()
        after.append((losses, torch.cat([p.detach().flatten() for p in network.parameters()])))
    for losses, parameters in after[1:]:
        assert losses == pytest.approx(after[0][0], abs=1e-5)
        assert torch.allclose(parameters, after[0][1], atol=1e-5)


def test_nothing_to_train_on_is_told() -> None:
    empty = np.zeros((0, 8, 8, 1), np.uint8)
    with pytest.raises(DataError, match="nothing to train on"):
        fit(build("plain", 1, 2, generator()), empty, np.zeros((0, 2), np.float32), QUICK, generator())


def test_a_loss_that_is_no_number_is_told(halves: Images) -> None:
    images, labels = halves
    settings = replace(QUICK, learning_rate=1e20)
    with pytest.raises(DataError, match="no longer a number"):
        fit(build("plain", 1, 2, generator()), images, one_hot(labels, 2), settings, generator())


def test_class_weights_balance_and_pass_over_absent_classes() -> None:
    targets = torch.from_numpy(one_hot(np.array([0, 0, 0, 1], np.int64), 3))
    assert class_weights(targets).tolist() == pytest.approx([4 / 6, 2.0, 0.0])


def test_inputs_are_the_pixel_over_255_in_channels_first_order() -> None:
    images = np.random.default_rng(2).integers(0, 256, (2, 4, 5, 3)).astype(np.uint8)
    tensor = as_input(images)
    assert tensor.shape == (2, 3, 4, 5)
    assert torch.equal(tensor[1, 2], torch.from_numpy(images[1, :, :, 2]).float() / 255)


def test_augmentation_keeps_shape_and_range_and_repeats_with_its_generator() -> None:
    images = torch.rand(6, 3, 20, 12, generator=generator(1))
    first, second = augment(images, generator(4)), augment(images, generator(4))
    assert torch.equal(first, second)
    assert first.shape == images.shape
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    assert not torch.equal(first, augment(images, generator(5)))


def test_augmentation_without_any_change_is_the_image() -> None:
    images = torch.rand(2, 1, 9, 7, generator=generator(1))
    same = augment(images, generator(), degrees=0, shift=0, scale=0, contrast=0, brightness=0)
    assert torch.allclose(same, images, atol=1e-6)


def test_mixing_keeps_targets_a_distribution() -> None:
    images, targets = torch.rand(8, 1, 4, 4), torch.eye(4)[torch.arange(8) % 4]
    mixed, goal = mix(images, targets, 0.4, generator(2))
    assert mixed.shape == images.shape
    assert torch.allclose(goal.sum(1), torch.ones(8))
    assert not torch.equal(goal, targets)


def test_softened_targets_are_those_of_logits_divided_by_the_temperature() -> None:
    logits = torch.randn(20, 5, generator=generator(3))
    assert torch.allclose(softened(logits.softmax(1), 4.0), (logits / 4).softmax(1), atol=1e-5)
    assert torch.equal(softened(logits.softmax(1), 1.0), logits.softmax(1))


def test_at_a_temperature_a_student_still_learns_its_teachers_probabilities(halves: Images) -> None:
    images, labels = halves
    told = np.array([[0.7, 0.3], [0.1, 0.9]], np.float32)
    plain = replace(QUICK, epochs=30, augmented=False, mixup=0.0, label_smoothing=0.0, balanced=False)
    settings = replace(plain, temperature=3.0)
    fitted = fit(build("plain", 1, 2, generator()), images, told[labels], settings, generator())
    answered = torch.from_numpy(predict(fitted.network, images)).softmax(1).numpy()
    for label in (0, 1):
        assert answered[labels == label].mean(0) == pytest.approx(told[label], abs=0.05)


def header(architecture: str = "plain") -> CheckpointHeader:
    return CheckpointHeader(
        architecture=architecture,
        image_shape=(16, 16, 1),
        class_names=("a", "b"),
        dataset="halves",
        dataset_sha256="0" * 64,
        epochs=1,
        seconds_train=0.5,
    )


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    network = build("plain", 1, 2, generator())
    saved = save(network, header(), tmp_path / "victim.safetensors")
    found = load(tmp_path / "victim.safetensors")
    assert found.header == header()
    assert found.sha256 == saved.sha256
    assert not found.network.training
    state = found.network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())


def test_a_torn_foreign_or_missing_checkpoint_is_told(tmp_path: Path) -> None:
    whole = tmp_path / "whole.safetensors"
    save(build("plain", 1, 2, generator()), header(), whole)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(whole.read_bytes()[:-100])
    other = tmp_path / "other.safetensors"
    save(build("plain", 1, 2, generator()), header("residual"), other)
    for path, words in ((torn, "torn"), (other, "torn"), (tmp_path / "none", "no checkpoint")):
        with pytest.raises(ArtifactError, match=words):
            load(path)
