"""PSGL's client in a split network: what leaves it, what it learns, what a device can do."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from defense.psgl.depth import depth_to_space, space_to_depth
from defense.psgl.protection import PSGL
from defense.psgl.saliency import MapSettings
from defense.psgl.settings import ClientSettings
from defense.split.halves import SplitSettings
from defense.split.model import SplitModel, build_split
from defense.split.training import Labelled, train_split, trainer_in_process
from foundation.errors import ArtifactError, UsageError

CLASSES = 3
SLOPES = ["own", "head", "whole"]
STRONG = MapSettings(kind="normalised", epsilon=0.3)


def built(protection: PSGL, channels: int = 1, height: int = 16, width: int = 16) -> SplitModel:
    return build_split((height, width, channels), CLASSES, protection, torch.Generator().manual_seed(0))


def drawn(batch: int = 4, channels: int = 1, height: int = 16, width: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, channels, height, width, generator=generator), torch.arange(batch) % CLASSES


@pytest.mark.parametrize("slopes", SLOPES)
@pytest.mark.parametrize(("batch", "channels", "height", "width"), [(4, 1, 16, 16), (1, 3, 15, 17)])
def test_what_the_client_network_gets_is_the_attacked_image_and_its_map(
    slopes: str, batch: int, channels: int, height: int, width: int
) -> None:
    protection = PSGL(ClientSettings(STRONG, slopes))  # type: ignore[arg-type]
    model = built(protection, channels, height, width).eval()
    x, y = drawn(batch, channels, height, width)
    attacked, found = protection.attack(x, y, model)
    prepared = protection.prepare(x, y, model)
    assert prepared.shape == (batch, 4 * channels + 1, -(-height // 2), -(-width // 2))
    assert torch.equal(depth_to_space(prepared[:, :-1], height, width), attacked)
    assert torch.equal(attacked, (x + found).clamp(0, 1))
    assert torch.allclose(prepared[:, -1], space_to_depth(found).mean(1))
    assert bool((attacked >= x).all())
    assert torch.allclose(found.amax((1, 2, 3)), torch.tensor(0.3))
    assert model.logits(x).shape == (batch, CLASSES)


def test_without_a_map_at_inference_images_leave_as_a_device_sends_them() -> None:
    protection = PSGL(ClientSettings(STRONG))
    model = built(protection, channels=3, height=15).eval()
    x, _ = drawn(channels=3, height=15)
    bare = protection.bare().prepare(x, None, model)
    assert torch.equal(bare, protection.on_device()(x))
    assert torch.equal(depth_to_space(bare[:, :-1], 15, 16), x)
    assert not bare[:, -1].any()
    assert not torch.equal(bare, protection.prepare(x, None, model))


def test_in_training_images_are_attacked_whatever_is_done_at_inference() -> None:
    protection = PSGL(ClientSettings(STRONG, at_inference=False))
    model = built(protection).train()
    x, y = drawn()
    assert bool(protection.prepare(x, y, model)[:, -1].any())
    assert not protection.prepare(x, None, model.eval())[:, -1].any()


@pytest.mark.parametrize("slopes", SLOPES)
def test_what_leaves_in_training_does_not_tell_the_label(slopes: str) -> None:
    protection = PSGL(ClientSettings(STRONG, slopes))  # type: ignore[arg-type]
    model = built(protection).train()
    x, y = drawn()
    assert torch.equal(protection.prepare(x, y, model), protection.prepare(x, (y + 1) % CLASSES, model))


@pytest.mark.parametrize("slopes", SLOPES)
def test_preparing_leaves_no_trace(slopes: str) -> None:
    protection = PSGL(ClientSettings(slopes=slopes))  # type: ignore[arg-type]
    model = built(protection).train()
    x, y = drawn()
    before = {name: tensor.clone() for name, tensor in model.client.state_dict().items()}
    first = protection.prepare(x, y, model)
    assert torch.equal(protection.prepare(x, y, model), first)
    with torch.no_grad():
        assert torch.equal(protection.prepare(x, y, model), first)
    assert model.client.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.client.state_dict().items())
    assert all(parameter.grad is None for parameter in model.client.parameters())


def test_who_computes_gradients_by_the_image_can() -> None:
    protection = PSGL(ClientSettings(STRONG))
    model = built(protection).eval()
    x, y = drawn()
    leaf = x.requires_grad_()
    protection.prepare(leaf, y, model)[:, :-1].sum().backward()
    assert leaf.grad is not None
    # The map is taken for given, and no pixel here is cut off at white.
    assert set(leaf.grad.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("slopes", ["own", "head"])
def test_the_clients_own_network_learns_in_training_only(slopes: str) -> None:
    protection = PSGL(ClientSettings(slopes=slopes))  # type: ignore[arg-type]
    model = built(protection).train()
    x, y = drawn()
    losses = []
    for _ in range(40):
        z = model.client(protection.prepare(x, y, model))
        protection.learn(x, z.detach())
        assert protection._own is not None
        folded = protection.bare()
        seen = PSGL.prepare(folded, x, None, model.eval())
        with torch.no_grad():
            logits = protection._own(model.client(seen) if slopes == "head" else seen[:, :-1])
        losses.append(float(torch.nn.functional.cross_entropy(logits, y)))
        model.train()
    assert losses[-1] < losses[0]
    kept = {name: tensor.clone() for name, tensor in protection.state().items()}
    model.eval()
    protection.prepare(x, y, model)
    protection.learn(x, x)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in protection.state().items())


def test_its_state_comes_back() -> None:
    protection = PSGL(ClientSettings(STRONG))
    model = built(protection).train()
    x, y = drawn()
    assert protection.state() == {}
    for _ in range(3):
        protection.learn(x, model.client(protection.prepare(x, y, model)))
    other = PSGL(ClientSettings(STRONG))
    other.load_state(protection.state())
    assert torch.equal(other.prepare(x, y, model), protection.prepare(x, y, model))
    for each in (protection, other):
        each.prepare(x, y, model)
        each.learn(x, x)
    assert torch.equal(other.prepare(x, y, model), protection.prepare(x, y, model))


def test_a_foreign_state_is_refused() -> None:
    with pytest.raises(ArtifactError, match="PSGL"):
        PSGL().load_state({"network.other": torch.zeros(1)})


def test_a_device_for_unknown_images_is_refused() -> None:
    with pytest.raises(UsageError, match="channels"):
        PSGL().on_device()


def labelled() -> Labelled:
    labels = np.arange(48) % CLASSES
    images = np.random.default_rng(0).integers(0, 120, (48, 16, 16, 1), dtype=np.uint8)
    images[labels == 1, :8] += 100
    images[labels == 2, :, :8] += 100
    return Labelled(images, labels)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Two threads may add in another order, run by run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_it_learns_in_the_ordinary_loop() -> None:
    data = labelled()
    settings = SplitSettings(epochs=20, batch=16, augmented=False)
    model = train_split(data.images, data.labels, CLASSES, PSGL(), settings, seed=0)
    x = torch.from_numpy(data.images).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        assert float((model.logits(x).argmax(1) == torch.from_numpy(data.labels)).float().mean()) > 0.9


@pytest.mark.usefixtures("_one_thread")
def test_training_goes_on_where_it_was() -> None:
    short = SplitSettings(epochs=2, batch=16, augmented=False)
    whole, broken = (trainer_in_process(labelled(), CLASSES, PSGL(), short, 0) for _ in range(2))
    whole.run()
    for rows in broken._rows(0):
        broken._step(rows)
    state, header = broken.state()
    resumed = trainer_in_process(labelled(), CLASSES, PSGL(), short, 0)
    resumed.load_state(state, header)
    resumed.server.learner.load_state(broken.server.learner.state(), "server")  # type: ignore[attr-defined]
    resumed.run()
    for name, tensor in resumed.client.model.client.state_dict().items():
        assert torch.equal(tensor, whole.client.model.client.state_dict()[name]), name
