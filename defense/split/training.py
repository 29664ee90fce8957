"""Training a split network; the same loop whether its server is in this process or behind a channel."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defense.split.config import TOGETHER
from defense.split.costs import Costs
from defense.split.halves import ClientHalf, ServerHalf, ServerSide, SplitSettings
from defense.split.model import SplitModel, build_split
from defense.split.protection import Protection
from defense.split.state import State
from foundation.errors import ArtifactError, DataError
from foundation.progress import SILENT, Progress
from victim.augmentation import augment
from victim.step import as_input
from victim.training import one_thread


@dataclass(frozen=True)
class Labelled:
    """Images uint8 [N, H, W, C] and their labels int64 [N]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if not len(self.images):
            raise DataError("nothing to train on: no images")
        if len(self.images) != len(self.labels):
            raise DataError(f"{len(self.images)} images and {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Epoch:
    """One pass: its number from 1, the server's mean loss, and the share of validation images labelled rightly."""

    epoch: int
    loss: float
    accuracy: float | None


@dataclass
class Trainer:
    """The client's loop, which can be saved between two steps and goes on as if nothing had happened.

    Attributes:
        client: the client's half.
        server: its server.
        train: what to learn from.
        settings: how.
        seed: of the order of images.
        validation: judged after each epoch; None judges nothing.
        done: steps done.
        history: of the epochs done.
        costs: of the steps done.
    """

    client: ClientHalf
    server: ServerSide
    train: Labelled
    settings: SplitSettings
    seed: int
    validation: Labelled | None = None
    done: int = 0
    history: list[Epoch] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)
    _losses: list[float] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.settings.epochs * self.settings.steps(len(self.train))

    def run(
        self, progress: Progress = SILENT, keep: Callable[[int], None] | None = None, every: int | None = None
    ) -> None:
        """Train to the end.

        Args:
            progress: where to show it.
            keep: called with the number of steps done after each epoch, and after every `every` steps.
            every: None calls it after epochs only.

        Raises:
            DataError: something is no longer a number; the message names the step.
        """
        per_epoch = self.settings.steps(len(self.train))
        with (
            # A half's step gains little from a second one.
            one_thread(),
            progress.task(f"split learning ({self.client.model.protection.name})", self.total) as advance,
        ):
            advance(self.done)
            while self.done < self.total:
                epoch, place = divmod(self.done, per_epoch)
                self._step(self._rows(epoch)[place])
                ended = self.done % per_epoch == 0
                if ended:
                    self._end_epoch(epoch + 1)
                advance(1, self._note())
                if keep is not None and (ended or (every is not None and self.done % every == 0)):
                    keep(self.done)
        self.client.model.client.eval()

    def state(self) -> tuple[State, str]:
        """Everything that the next step depends on, and what was recorded so far (JSON)."""
        record = {"done": self.done, "history": [asdict(epoch) for epoch in self.history], "losses": self._losses}
        return self.client.state() | {"costs": self.costs.tensor()}, json.dumps(record)

    def load_state(self, state: State, header: str) -> None:
        """Take back what `state` gave.

        Raises:
            ArtifactError: it is of another run.
        """
        try:
            record = json.loads(header)
            self.done, self._losses = int(record["done"]), [float(loss) for loss in record["losses"]]
            self.history = [Epoch(**epoch) for epoch in record["history"]]
            self.costs = Costs.of(state["costs"])
            self.client.load_state(state)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"a checkpoint of another client: {error}") from error

    def _rows(self, epoch: int) -> tuple[Tensor, ...]:
        """Rows of each step of an epoch (from 0): a function of seed and epoch, so that one can start anywhere."""
        generator = torch.Generator().manual_seed((self.seed << 20) ^ epoch)
        order = torch.randperm(len(self.train), generator=generator)
        return torch.tensor_split(order, self.settings.steps(len(self.train)))

    def _step(self, rows: Tensor) -> None:
        number = self.done + 1
        with self.costs.step(self.server.meter):
            x = as_input(self.train.images[rows.numpy()])
            if self.settings.augmented:
                x = augment(x, self.client.generator)
            y = torch.from_numpy(self.train.labels[rows.numpy()])
            answer = self.server.step(self.client.forward(x, y, number), y, number)
            self.client.backward(answer.gradient, number)
        self._losses.append(answer.loss)
        self.done = number

    def _end_epoch(self, epoch: int) -> None:
        judged = None
        if self.validation is not None:
            guessed = logits(self.client.model, self.server.logits, self.validation.images).argmax(1)
            judged = float((guessed == self.validation.labels).mean())
        self.history.append(Epoch(epoch, float(np.mean(self._losses)), judged))
        self._losses = []

    def _note(self) -> str:
        if not self.history:
            return ""
        last = self.history[-1]
        return f"loss {last.loss:.3f}" + ("" if last.accuracy is None else f", accuracy {last.accuracy:.1%}")


def logits(
    model: SplitModel, server: Callable[[Tensor], Tensor], images: NDArray[np.uint8], seed: int = 0
) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of uint8 images [N, H, W, C] by split inference, in evaluation mode.

    Args:
        model: whose client and protection are used.
        server: smashed data to logits.
        images: what to classify.
        seed: of the protection's noise.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    with model.evaluating(), torch.no_grad():
        for k in range(0, len(images), TOGETHER):
            z = model.smashed(as_input(images[k : k + TOGETHER]), None, generator)
            parts.append(server(z.contiguous()).float())
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def train_split(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: int,
    protection: Protection,
    settings: SplitSettings | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
    *,
    depth: int = 2,
    width: int | None = None,
) -> SplitModel:
    """Train both halves in this process.

    Args:
        images: uint8 [N, H, W, C].
        labels: int64 [N].
        classes: how many there are.
        protection: the client's.
        settings: None fits them to the number of images.
        seed: of weights, order, augmentation and noise.
        progress: where to show it.
        depth: blocks that stay with the client; see `build_split`.
        width: channels of the smashed data.

    Returns:
        the two halves, in evaluation mode.

    Raises:
        DataError: nothing to train on, or something is no longer a number.
    """
    trainer = trainer_in_process(
        Labelled(images, labels), classes, protection, settings, seed, depth=depth, width=width
    )
    trainer.run(progress)
    return trainer.client.model.eval()


def trainer_in_process(
    train: Labelled,
    classes: int,
    protection: Protection,
    settings: SplitSettings | None,
    seed: int,
    *,
    validation: Labelled | None = None,
    depth: int = 2,
    width: int | None = None,
) -> Trainer:
    """A trainer whose server is in this process; arguments as `train_split` has them."""
    settings = settings or SplitSettings.for_images(len(train))
    height, wide, channels = train.images.shape[1:]
    generator = torch.Generator().manual_seed(seed)
    model = build_split((height, wide, channels), classes, protection, generator, depth=depth, width=width)
    total = settings.epochs * settings.steps(len(train))
    server = ServerHalf(model.server, settings, total)
    client = ClientHalf(model.client, protection, settings, total, generator, server.module)
    return Trainer(client, server, train, settings, seed, validation)
