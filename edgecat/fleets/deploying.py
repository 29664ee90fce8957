"""One model on all devices of a fleet, or on none.

First every device gets the file and answers about known images while it goes on using its former model. Only then they
change over, and are asked once more. Where the model is unwell on more devices than the fleet allows, all return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from pydantic import BaseModel, ConfigDict

from edgecat.fleets.fleet_file import Fleet
from edgecat.fleets.health import KnownImages, known_images
from edgecat.fleets.member import Member, State
from edgecat.fleets.pointer import ActiveModel
from foundation.errors import CheckFailed, DeviceError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress


class DeviceSummary(BaseModel):
    """What became of one device.

    Attributes:
        device: its spec, without a phone's serial number.
        state: `deployed`; `unwell` (the model does not answer as it should there), `failed` (device, or the way to it),
            `returned` (well, but the fleet went back), `stuck` (it could not be told to go back).
        abi: its instruction set; None: it did not answer.
        agreement: share of the known images answered as expected; None: not asked.
        former: what it used before; None: nothing that was deployed.
        error: what went wrong.
        hint: what to do about it.
    """

    model_config = ConfigDict(frozen=True)

    device: str
    state: State
    abi: str | None
    agreement: float | None
    former: ActiveModel | None
    error: str | None
    hint: str | None


class Deployment(BaseModel):
    """What became of a deployment.

    Attributes:
        model: its name.
        sha256: of its file.
        images: how many known images were asked about.
        rolled_back: whether the fleet went back to what it used before.
        devices: in the order of the fleet's file.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    sha256: str
    images: int
    rolled_back: bool
    devices: list[DeviceSummary]

    def complete_or_fail(self) -> None:
        """Nothing, if every device uses the model.

        Raises:
            CheckFailed: it is unwell on some.
            DeviceError: some could not be reached or written.
        """
        unwell = [one for one in self.devices if one.state == "unwell"]
        failed = [one for one in self.devices if one.state in ("failed", "stuck")]
        if unwell:
            back = "all devices use what they used before" if self.rolled_back else "they use what they used before"
            raise CheckFailed(f"the model is unwell on {_some(unwell, self.devices)}: {back}", hint=unwell[0].hint)
        if failed:
            raise DeviceError(
                f"the model did not come to {_some(failed, self.devices)}", hint="the same command goes on with them"
            )


def deploy_fleet(fleet: Fleet, artifact: Artifact, progress: Progress = SILENT) -> Deployment:
    """Bring a model to every device, and let them use it together.

    Args:
        fleet: the devices.
        artifact: the model, with its manifest.
        progress: where to show it.

    Raises:
        DataError: the fleet's known images cannot be used.
        ArtifactError: the runtime here refuses the model.
    """
    known = known_images(fleet.check, artifact)
    members = [Member(spec) for spec in fleet.devices]
    try:
        rolled_back = _phases(fleet, artifact, known, members, progress)
    except BaseException:
        # Also when interrupted: half a fleet on each of two models is what this is there against.
        _each(members, Member.give_back, fleet.at_once)
        raise
    finally:
        _each(members, Member.close, fleet.at_once)
    manifest = artifact.manifest
    devices = [_summary(member) for member in members]
    return Deployment(
        model=manifest.name,
        sha256=manifest.sha256,
        images=len(known.images),
        rolled_back=rolled_back,
        devices=devices,
    )


def _phases(
    fleet: Fleet, artifact: Artifact, known: KnownImages, members: Sequence[Member], progress: Progress
) -> bool:
    """Whether the fleet went back."""
    serving = fleet.serving
    _each(members, lambda one: one.prepare(artifact, known, serving), fleet.at_once, "preparing", progress)
    if not _too_many_unwell(fleet, members):
        ready = [member for member in members if member.state == "prepared"]
        _each(ready, lambda one: one.activate(artifact, known, serving), fleet.at_once, "changing over", progress)
        if not _too_many_unwell(fleet, members):
            # One that failed while it changed over goes back alone.
            _each([one for one in members if one.state != "deployed"], Member.give_back, fleet.at_once)
            return False
    _each(members, Member.give_back, fleet.at_once, "going back", progress)
    return True


def _too_many_unwell(fleet: Fleet, members: Iterable[Member]) -> bool:
    return sum(member.state == "unwell" for member in members) > fleet.max_failures


def _each(
    members: Sequence[Member],
    act: Callable[[Member], None],
    at_once: int,
    description: str = "letting go",
    progress: Progress = SILENT,
) -> None:
    """Do something with all members, so many at once."""
    if not members:
        return
    with (
        progress.task(f"{description}, devices", len(members)) as advance,
        ThreadPoolExecutor(min(at_once, len(members)), thread_name_prefix="edgecat-fleet") as pool,
    ):
        begun = {pool.submit(act, member): member for member in members}
        for ended in as_completed(begun):
            ended.result()
            member = begun[ended]
            advance(1, member.spec)
            if member.error is not None and description == "preparing":
                progress.say(f"{member.spec}: {member.error.message}")


def _summary(member: Member) -> DeviceSummary:
    return DeviceSummary(
        device=member.anonymous,
        state=member.state,
        abi=member.abi,
        agreement=member.agreement,
        former=member.former,
        error=None if member.error is None else member.error.message,
        hint=None if member.error is None else member.error.hint,
    )


def _some(chosen: Sequence[DeviceSummary], among: Sequence[DeviceSummary]) -> str:
    first = chosen[0]
    return f"{len(chosen)} of {len(among)} devices ({first.device}: {first.error or first.state})"
