"""One device's part in a deployment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from edge.deployment import RunnerOptions, push_artifact, start
from edge.devices.opening import OpenDevice, open_device
from edge.devices.spec import parse_spec
from edge.runner.packages import choose_runner
from edgecat.fleets.health import KnownImages
from edgecat.fleets.pointer import ActiveModel, read_active, write_active
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError, CheckFailed, DeviceError, EdgecatError, UsageError
from foundation.manifest import Artifact

# `unwell`: known images are answered wrongly, or the runtime refuses the file. `failed`: the device or the way to it.
# `stuck`: it may use the new model or the former, and nothing more can be done from here.
State = Literal["waiting", "prepared", "deployed", "unwell", "failed", "returned", "stuck"]


class Member:
    """A device of a fleet, from the first look at it until it is let go.

    Attributes:
        spec: how the fleet's file names it.
        state: see `State`.
        former: what it used before.
        agreement: share of the known images that it answered as expected; None: not asked.
        error: what went wrong.
        abi: its instruction set, where it answered.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.state: State = "waiting"
        self.former: ActiveModel | None = None
        self.agreement: float | None = None
        self.error: EdgecatError | None = None
        self.abi: str | None = None
        self._device: OpenDevice | None = None
        self._next: ActiveModel | None = None
        self._switched = False

    @property
    def anonymous(self) -> str:
        """Its name for documents that others read."""
        return parse_spec(self.spec).anonymous

    def prepare(self, artifact: Artifact, known: KnownImages, options: RunnerOptions) -> None:
        """Bring the model there, whole and verified, start it and ask it. What the device uses stays as it is."""
        with self._telling():
            self._device = open_device(self.spec)
            self.abi = self._device.info.abi
            self._device.claim()
            _check_runner(self._device, artifact, options)
            self.former = read_active(self._device)
            path = push_artifact(self._device, artifact)
            self._next = ActiveModel.now(path, artifact.manifest)
            self._ask(self._device, path, artifact, known, options)
            self.state = "prepared"

    def activate(self, artifact: Artifact, known: KnownImages, options: RunnerOptions) -> None:
        """Let the device use the model, and ask again what it uses now."""
        device = self._device
        assert device is not None
        with self._telling():
            # Before: whether a write that broke off took place cannot be told.
            self._switched = True
            write_active(device, self._next)
            active = read_active(device)
            if active is None or active.sha256 != artifact.manifest.sha256:
                raise CheckFailed("the device does not use what it was told to")
            self._ask(device, active.path, artifact, known, options)
            self.state = "deployed"

    def give_back(self) -> None:
        """Return to the former model, where the device has left it."""
        if not self._switched or self._device is None:
            self.state = "returned" if self.state == "prepared" else self.state
            return
        was = self.state
        try:
            write_active(self._device, self.former)
        except EdgecatError as error:
            self.state, self.error = "stuck", self.error or error
        else:
            self._switched = False
            self.state = "returned" if was in ("prepared", "deployed") else was

    def close(self) -> None:
        """Let the device go."""
        if self._device is not None:
            with contextlib.suppress(EdgecatError):
                self._device.close()

    def _ask(
        self, device: OpenDevice, path: str, artifact: Artifact, known: KnownImages, options: RunnerOptions
    ) -> None:
        with start(device, path, artifact.manifest, AnswerPolicy("label"), options) as model:
            self.agreement = known.agreement(model)
        known.judge(self.agreement)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Keep what goes wrong in the block: the others go on."""
        try:
            yield
        except EdgecatError as error:
            self.error = error
            self.state = "unwell" if isinstance(error, CheckFailed | ArtifactError) else "failed"


def _check_runner(device: OpenDevice, artifact: Artifact, options: RunnerOptions) -> None:
    """See to it that there is a runner for this processor: that there is none is no fault of the model's.

    Raises:
        DeviceError: there is none.
    """
    info = device.info
    try:
        choose_runner(
            artifact.manifest.runtime, info.abi, info.bionic, preferred=options.runner, page_bytes=info.page_bytes
        )
    except (ArtifactError, UsageError) as error:
        raise DeviceError(error.message, device=info.spec, hint=error.hint) from error
