"""DisGUIDE: a generator that looks for images on which two students disagree, and the students that learn from them.

Rosenthal et al. 2023, "DisGUIDE: Disagreement-Guided Data-Free Model Extraction" (AAAI), as in the paper and the
authors' own program. Nobody's images are looked at and no gradient of the victim is estimated: the generator learns
from the students alone, so a hard label is answer enough.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from attack.strategies.generator import Generator
from attack.strategies.replay import Replay
from foundation.answers import Answers
from victim.models import build
from victim.step import as_images, as_input, native_bf16


@dataclass(frozen=True)
class DisguideSettings:
    """How generator and students learn.

    The authors' program makes one step of the generator and three on replayed answers for each batch of 256 queries,
    and asks 20 million of them. Here a student's step is the dear part, so less is replayed: at 64 x 64 a core of its
    own makes, asks and learns about 650 queries a second.

    Attributes:
        batch: queries between two steps of the generator.
        step: images in one step of a student.
        replayed: steps on answers from before, for each batch.
        replay: answers kept; the oldest goes first.
        guided: images in a step of the generator.
        diversity: weight of the diversity of classes beside the disagreement (the paper's lambda).
        noise: numbers that an image is generated from.
        student_rate: learning rate of the students (AdamW).
        generator_rate: of the generator (Adam).
        decay: per step, of the running average of the first student's weights, which is the thief. The paper lowers the
            learning rate on the way; that depends on the budget, and what is asked first must not.
    """

    batch: int = 256
    step: int = 64
    replayed: int = 2
    replay: int = 16_384
    guided: int = 64
    diversity: float = 0.2
    noise: int = 128
    student_rate: float = 1e-3
    generator_rate: float = 2e-4
    decay: float = 0.99


class Disguide:
    """Generator, students and what they remember; a function of its seed and of the answers.

    Args:
        shape: height, width, channels of the images.
        seed: of weights, noise and order.
        architecture: of the students; see `victim.models.build`.
        settings: how they learn.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        seed: int,
        architecture: str = "plain",
        settings: DisguideSettings | None = None,
    ) -> None:
        self.settings = settings or DisguideSettings()
        self._channels, self._architecture = shape[2], architecture
        self._chance = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 0xDF]).generate_state(1)[0]))
        self._generator = Generator(self.settings.noise, shape, self._chance)
        self._search = torch.optim.Adam(
            self._generator.parameters(), self.settings.generator_rate, betas=(0.5, 0.999), fused=True
        )
        self._replay = Replay(self.settings.replay)
        self._students: _Students | None = None

    def imagine(self) -> NDArray[np.uint8]:
        """The next batch of queries, uint8 [batch, H, W, C]."""
        with torch.no_grad(), native_bf16():
            images = self._generator(self._noise(self.settings.batch)).float()
        return as_images(images)

    def learn(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """The students learn the answers, and some from before; then the generator learns where they disagree.

        Args:
            images: uint8 [N, H, W, C], N >= 1.
            answers: one each.
        """
        settings, targets = self.settings, answers.targets()
        if self._students is None:
            self._students = _Students(self._architecture, self._channels, answers.classes, settings, self._chance)
        self._replay.add(images, targets)
        # One image alone has no batch statistics: it is learnt when it is replayed.
        parts = max(1, len(images) // settings.step) if len(images) > 1 else 0
        for rows in np.array_split(np.arange(len(images)), parts) if parts else ():
            self._students.learn(images[rows], torch.from_numpy(targets[rows]))
        for _ in range(settings.replayed):
            self._students.learn(*self._replay.draw(settings.step, self._chance))
        self._guide(self._students)

    def thief(self) -> nn.Module | None:
        """The running average of the first student; None before the first answers."""
        return None if self._students is None else self._students.average.module

    def _noise(self, count: int) -> Tensor:
        return torch.randn(count, self.settings.noise, generator=self._chance)

    def _guide(self, students: _Students) -> None:
        """One step of the generator: to where the students disagree, and to every class alike."""
        with students.frozen(), native_bf16():
            images = self._generator(self._noise(self.settings.guided))
            one, other = (student(images).float().softmax(1) for student in students.both)
        # The deviation of two numbers is their distance over the root of two.
        disagreement = (one - other).abs().mean() / 2**0.5
        shares = ((one + other) / 2).mean(0).clamp_min(1e-6)
        loss = self.settings.diversity * (shares * shares.log()).sum() - disagreement
        self._search.zero_grad(set_to_none=True)
        loss.backward()
        self._search.step()

    def save(self) -> bytes:
        """Everything but what is replayed, which is forgotten here: it would be far larger than all the rest.

        Whoever loads this, and whoever saved it and goes on, imagine and learn the same from here on.
        """
        self._replay.clear()
        state: dict[str, Any] = {
            "chance": self._chance.get_state(),
            "generator": self._generator.state_dict(),
            "search": self._search.state_dict(),
        }
        if self._students is not None:
            state |= {"classes": self._students.classes, "students": self._students.state()}
        kept = io.BytesIO()
        torch.save(state, kept)
        return kept.getvalue()

    def load(self, saved: bytes) -> None:
        """Go on from what `save` gave, on a new object of the same settings."""
        state = torch.load(io.BytesIO(saved), weights_only=True)
        if "classes" in state:
            self._students = _Students(
                self._architecture, self._channels, state["classes"], self.settings, self._chance
            )
            self._students.restore(state["students"])
        self._generator.load_state_dict(state["generator"])
        self._search.load_state_dict(state["search"])
        self._chance.set_state(state["chance"])
        self._replay.clear()


class _Students:
    """Two networks of one kind and different weights, that learn the same."""

    def __init__(
        self, architecture: str, channels: int, classes: int, settings: DisguideSettings, chance: torch.Generator
    ) -> None:
        seeds = torch.randint(2**62, (2,), generator=chance).tolist()
        self.classes = classes
        self.both = [
            build(architecture, channels, classes, torch.Generator().manual_seed(seed)).to(
                memory_format=torch.channels_last  # type: ignore[call-overload]
            )
            for seed in seeds
        ]
        self.optimizers = [
            torch.optim.AdamW(student.parameters(), settings.student_rate, fused=True) for student in self.both
        ]
        self.average = AveragedModel(self.both[0], avg_fn=_running(settings.decay), use_buffers=True)

    def learn(self, images: NDArray[np.uint8], targets: Tensor) -> None:
        """One step of each on uint8 images [N, H, W, C], N >= 2, and targets float32 [N, classes]."""
        x = as_input(images)
        for student, optimizer in zip(self.both, self.optimizers, strict=True):
            student.train()
            with native_bf16():
                logits = student(x)
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(logits.float(), targets).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        self.average.update_parameters(self.both[0])

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Gradients go through them and leave them as they are."""
        for student in self.both:
            student.eval().requires_grad_(False)
        try:
            yield
        finally:
            for student in self.both:
                student.requires_grad_(True)

    def state(self) -> list[dict[str, Any]]:
        """What `restore` takes."""
        return [part.state_dict() for part in (*self.both, *self.optimizers, self.average)]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from what `state` gave."""
        for part, kept in zip((*self.both, *self.optimizers, self.average), state, strict=True):
            part.load_state_dict(kept)


def _running(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """A running average that forgets the first steps soon: what a student weighed then is of no use."""

    def average(averaged: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        return averaged + (current - averaged) * (1 - min(decay, (1 + int(count)) / (10 + int(count))))

    return average
