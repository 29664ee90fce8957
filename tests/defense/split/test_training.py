"""Training both halves in one process."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from defense.split.checkpoints import KEPT, Checkpoints
from defense.split.costs import COLUMNS, Costs
from defense.split.halves import Answer, SplitSettings
from defense.split.processes import train_in_process
from defense.split.protection import Protection
from defense.split.training import Labelled, Trainer, logits, train_split, trainer_in_process
from foundation.errors import ArtifactError, DataError

from .conftest import config_for, halves


def _trainer(protection: Protection | None = None, **settings: object) -> Trainer:
    chosen = SplitSettings(**({"epochs": 2, "batch": 16} | settings))  # type: ignore[arg-type]
    return trainer_in_process(halves(48, 0), 2, protection or Protection(), chosen, 7)


def _weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.client.model.client.state_dict().items()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_a_split_network_learns() -> None:
    train, unseen = halves(128, 0), halves(100, 1)
    settings = SplitSettings(epochs=6, batch=16)
    model = train_split(train.images, train.labels, 2, Protection(), settings, seed=1)
    guessed = logits(model, model.server, unseen.images).argmax(1)
    assert (guessed == unseen.labels).mean() > 0.95


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one, two = _trainer(), _trainer()
    one.run()
    two.run()
    assert _equal(_weights(one), _weights(two))
    other = trainer_in_process(halves(48, 0), 2, Protection(), SplitSettings(epochs=2, batch=16), 8)
    other.run()
    assert not _equal(_weights(one), _weights(other))


def test_every_step_has_its_costs_and_every_epoch_its_accuracy() -> None:
    trainer = _trainer()
    trainer.validation = halves(20, 2)
    trainer.run()
    table = trainer.costs.tensor()
    assert table.shape == (len(COLUMNS), trainer.total) == (5, 6)
    assert bool((table[:2] > 0).all())
    assert bool((table[2:] == 0).all())
    assert [epoch.epoch for epoch in trainer.history] == [1, 2]
    assert all(epoch.accuracy is not None and 0 <= epoch.accuracy <= 1 for epoch in trainer.history)
    assert torch.equal(Costs.of(table).tensor(), table)


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("protection", ["none", "psgl", "noise:0.1+aware"])
def test_a_killed_training_goes_on_to_the_same_weights(protection: str, tmp_path: Path) -> None:
    train = halves(48, 0)
    config = config_for(train, protection=protection)
    unbroken = train_in_process(config, train, tmp_path / "unbroken")

    class StopsAt:
        def task(self, _description: str, _total: float | None = None) -> StopsAt:
            return self

        def __enter__(self) -> StopsAt:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __call__(self, steps: float = 1, _note: str = "") -> None:
            self.done = getattr(self, "done", 0) + steps
            if self.done == 5:
                raise _Stopped

        def say(self, _message: str) -> None:
            pass

    with pytest.raises(_Stopped):
        train_in_process(config, train, tmp_path / "broken", every=2, progress=StopsAt())
    assert Checkpoints(tmp_path / "broken/checkpoints", "client", config.sha256).steps()[-1] == 4
    resumed = train_in_process(config, train, tmp_path / "broken", every=2)
    assert _equal(_weights(unbroken), _weights(resumed))
    assert (tmp_path / "unbroken/server.safetensors").read_bytes() == (
        tmp_path / "broken/server.safetensors"
    ).read_bytes()
    assert len(resumed.costs) == resumed.total
    assert [epoch.loss for epoch in resumed.history] == [epoch.loss for epoch in unbroken.history]


def test_checkpoints_keep_the_last_few_and_refuse_those_of_other_settings(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, "client", "a" * 64)
    for step in range(1, 8):
        kept.write(step, {"step": torch.tensor([step])})
    assert kept.steps() == (5, 6, 7)[-KEPT:]
    with pytest.raises(ArtifactError, match="other settings"):
        Checkpoints(tmp_path, "client", "b" * 64).read(7)
    kept.forget_after(5)
    assert kept.steps() == (5,)


def test_a_gradient_that_is_no_number_stops_training_names_the_step_and_changes_no_weight() -> None:
    trainer = _trainer()
    inner, before = trainer.server, {}

    class Broken:
        module, meter = inner.module, inner.meter

        def step(self, z: Tensor, y: Tensor, number: int) -> Answer:
            answer = inner.step(z, y, number)
            if number == 4:
                before.update(_weights(trainer))
                answer.gradient[0, 0, 0, 0] = float("nan")
            return answer

        def logits(self, z: Tensor) -> Tensor:
            return inner.logits(z)

    kept: list[int] = []
    trainer.server = Broken()
    with pytest.raises(DataError, match=r"step 4.*gradient"):
        trainer.run(keep=kept.append, every=1)
    assert kept == [1, 2, 3]
    parameters = {name for name, _ in trainer.client.model.client.named_parameters()}
    assert all(torch.equal(before[name], now) for name, now in _weights(trainer).items() if name in parameters)


def test_a_client_whose_own_gradients_overflow_is_stopped_before_it_learns() -> None:
    class Explodes(Protection):
        def gradients(self, parameters, generator) -> None:  # type: ignore[no-untyped-def]
            next(iter(parameters)).grad.mul_(float("inf"))

    with pytest.raises(DataError, match="step 1: the client's gradient"):
        _trainer(Explodes()).run()


def test_a_protection_sees_images_smashed_data_and_gradients_of_every_step() -> None:
    class Watching(Protection):
        seen: tuple[str, ...] = ()

        def release(self, z: Tensor, generator: torch.Generator) -> Tensor:
            self.seen += ("release",)
            return z * 2

        def penalty(self, x: Tensor, z: Tensor) -> Tensor:
            assert x.shape[1:] == (1, 16, 16)
            self.seen += ("penalty",)
            return z.square().mean()

        def learn(self, x: Tensor, z: Tensor) -> None:
            assert not z.requires_grad
            self.seen += ("learn",)

        def gradients(self, parameters, generator) -> None:  # type: ignore[no-untyped-def]
            assert all(p.grad is not None for p in parameters)
            self.seen += ("gradients",)

    watching, plain = _trainer(Watching(), epochs=1), _trainer(epochs=1)
    watching.run()
    plain.run()
    seen = watching.client.model.protection.seen  # type: ignore[attr-defined]
    assert seen == ("release", "penalty", "gradients", "learn") * 3
    assert not _equal(_weights(watching), _weights(plain))


def test_nothing_to_train_on_is_told() -> None:
    with pytest.raises(DataError, match="no images"):
        Labelled(np.zeros((0, 16, 16, 1), np.uint8), np.zeros(0, np.int64))


def test_smashed_data_of_a_batch_of_one_are_those_of_the_same_image_among_others() -> None:
    model = copy.copy(_trainer().client.model).eval()
    images = halves(3, 5).images
    together = logits(model, model.server, images)
    alone = np.concatenate([logits(model, model.server, images[k : k + 1]) for k in range(3)])
    assert np.allclose(together, alone, atol=1e-5)
