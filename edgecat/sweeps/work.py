"""Doing a step of a sweep.

A step leaves a folder or a marker that is whole or not there, and does nothing where it finds that. So it can be killed
and begun again any number of times, and two processes that come to the same step do it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from edgecat.sweeps.places import SweepDirectory
from edgecat.sweeps.pools import Device
from edgecat.sweeps.steps import Kind, Outcome, State, Step
from foundation.errors import DeviceError, EdgecatError, ExitCode
from foundation.folders import make_once


def perform(step: Step, device: Device | None) -> Outcome:
    """Do a step; errors that edgecat raises on purpose become its outcome.

    Args:
        step: what to do; nothing where it is done already.
        device: where, if it wants one.
    """
    start = time.monotonic()
    try:
        with _one_core(step):
            _WORK[step.kind](step, device)
    except EdgecatError as error:
        state: State = "failed"
        if isinstance(error, DeviceError) and device is not None:
            state = "shaken" if step.kind != "device" and _answers(device) else "gone"
        return Outcome(state, time.monotonic() - start, error.message, error.hint, error.exit_code)
    except OSError as error:
        # A full disk is met wherever something is written first.
        return Outcome("failed", time.monotonic() - start, str(error), "free some space", ExitCode.USAGE)
    return Outcome("done", time.monotonic() - start)


def _device(_: Step, device: Device | None) -> None:
    assert device is not None
    _look(device)


def _look(device: Device) -> None:
    """See to it that a device is there and nobody else has it.

    Raises:
        EdgecatError: it is not, or somebody has it.
    """
    from edge.devices.opening import open_device

    with open_device(device.spec) as opened:
        opened.claim()


def _answers(device: Device) -> bool:
    try:
        _look(device)
    except EdgecatError:
        return False
    return True


def _victim(step: Step, _: Device | None) -> None:
    from edgecat.stages.data import load_dataset
    from edgecat.stages.victim import check_architecture, train_victim

    settings = step.settings

    def make(folder: Path) -> None:
        dataset = load_dataset(settings)
        check_architecture(settings.architecture, dataset)
        place = folder / "victim.safetensors"
        train_victim(dataset, place, architecture=settings.architecture, seed=settings.seed, epochs=settings.epochs)

    make_once(SweepDirectory(step.sweep).victim(step.victim), make)


def _export_once(step: Step, _: Device | None) -> None:
    from benchmarks import records
    from edgecat.stages.data import load_dataset
    from edgecat.stages.export import export_victim, gate
    from edgecat.stages.victim import load_victim
    from export.recipes import find_recipe

    sweep = SweepDirectory(step.sweep)

    def make(folder: Path) -> None:
        dataset = load_dataset(step.settings)
        checkpoint = load_victim(sweep.victim(step.victim) / "victim.safetensors", dataset)
        recipes = (find_recipe(step.recipe),)
        for _, record in export_victim(checkpoint, dataset, recipes, folder, "shared", folder / "export.log"):
            gate(record)
            records.append(folder / "results.jsonl", record)

    make_once(sweep.export(step.victim, step.recipe), make)


def _job(step: Step, device: Device | None) -> None:
    from edgecat.sweeps.job_work import do_job

    assert device is not None
    do_job(step, device)


def _one_core(step: Step) -> AbstractContextManager[None]:
    """One thread for what is computed, as Ray gives its workers: so a sweep and a serial one compute alike."""
    if step.kind == "device":
        return nullcontext()
    from victim.training import one_thread

    return one_thread()


_WORK: dict[Kind, Callable[[Step, Device | None], None]] = {
    "device": _device,
    "victim": _victim,
    "export": _export_once,
    "job": _job,
}
