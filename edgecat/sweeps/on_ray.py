"""Steps done by Ray: on this machine, or on a cluster by its address.

Ray gives a step a core and, where it wants one, its device: a resource of which there is one, so that two sweeps on one
cluster do not meet on a phone. (Other programs are kept off by the lease on the device itself; see `edge.adb.lease`.)
Ray's own retries are off: `edgecat.sweeps.schedule` counts them, and tells.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from edgecat.sweeps.pools import Device
from edgecat.sweeps.steps import Outcome, Step
from edgecat.sweeps.work import perform
from foundation.errors import ExitCode, UsageError, first_line
from foundation.machine import cores

# Steps exchange paths, not arrays: Ray's smallest.
_OBJECT_STORE_BYTES = 80 << 20
_LOOPBACK = "127.0.0.1"
# Its node has 30 s to start, which a machine that is busy may not keep.
_TRIES = 3
# Ray as it is on macOS: one machine, all ports on loopback alone. A token besides, so that other users of this machine
# cannot have our workers run what they like. No word to Ray's makers, and none of workers that died: we tell that.
_LOCAL = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "A worker died or was killed",
}

Work = Callable[[Step, Device | None], Outcome]


class RayExecutor:
    """Does steps on Ray; made by `on_this_machine` or `on_cluster`."""

    def __init__(self, ray: Any, capacity: int, work: Work, absent: frozenset[str] = frozenset()) -> None:
        self._ray = ray
        self.capacity = capacity
        self._absent = absent
        self._perform = ray.remote(max_retries=0, num_cpus=1)(work)
        self._begun: dict[Any, Step] = {}

    def start(self, step: Step, device: Device | None) -> None:
        """See `edgecat.sweeps.executors.Executor`."""
        wanted = {} if device is None or device.resource in self._absent else {device.resource: 1}
        task = self._perform.options(name=step.name, resources=wanted)
        self._begun[task.remote(step, device)] = step

    def wait(self) -> tuple[Step, Outcome]:
        """See `edgecat.sweeps.executors.Executor`."""
        ended, _ = self._ray.wait(list(self._begun), num_returns=1)
        step = self._begun.pop(ended[0])
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(ended[0])
        except errors.RayTaskError as error:
            # What edgecat raises on purpose is an outcome: this is a bug.
            message = f"{type(error.cause).__name__}: {first_line(error.cause)}" if error.cause else first_line(error)
            return step, Outcome("failed", message=message, exit_code=ExitCode.CHECK_FAILED)
        except errors.RayError as error:
            return step, Outcome("lost", message=f"its worker was lost ({type(error).__name__})")
        return step, outcome

    def cancel(self) -> None:
        """End what is under way."""
        for task in self._begun:
            with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
                self._ray.cancel(task, force=True)


@contextlib.contextmanager
def on_this_machine(workers: int | None, devices: Sequence[Device], work: Work = perform) -> Iterator[RayExecutor]:
    """A Ray of our own, gone with the `with` block, or with this process.

    Args:
        workers: steps at once; None: as many as there are cores.
        devices: each becomes a resource.
        work: does a step.

    Raises:
        UsageError: Ray is not installed, or does not start.
    """
    count = workers or cores()
    _keep_to_ourselves()
    ray = _ray()
    # Short: sockets stand in there, and their names have 107 bytes.
    place = tempfile.mkdtemp(prefix="edgecat-ray-")
    try:
        _init(
            ray,
            tries=_TRIES,
            address="local",
            num_cpus=count,
            num_gpus=0,
            resources={device.resource: 1 for device in devices},
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            _temp_dir=place,
        )
        if ray.util.get_node_ip_address() != _LOOPBACK:
            raise UsageError("this Ray listens to other machines", hint="install the ray that constraints.txt names")
        with _cancelled_on_error(RayExecutor(ray, count, work)) as executor:
            yield executor
    finally:
        ray.shutdown()
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def on_cluster(address: str, workers: int | None, devices: Sequence[Device]) -> Iterator[RayExecutor]:
    """A Ray cluster that runs already, each machine with this edgecat, and the sweep's directory under the same path.

    Args:
        address: as `ray.init` takes it: HOST:PORT, `auto`.
        workers: steps at once; None: as many as the cluster has cores.
        devices: those that are not made when they are opened must be resources of the cluster.

    Raises:
        UsageError: Ray is not installed, there is no such cluster, or it does not have a device.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _ray()
    try:
        _init(ray, address=address)
        has = ray.cluster_resources()
        absent = [device for device in devices if device.resource not in has]
        for device in absent:
            if not device.made:
                flag = f"--resources='{{\"{device.resource}\": 1}}'"
                raise UsageError(
                    f"no machine of the cluster has {device.name}", hint=f"where it is: ray start … {flag}"
                )
        count = workers or max(int(has.get("CPU", 1)), 1)
        missing = frozenset(device.resource for device in absent)
        with _cancelled_on_error(RayExecutor(ray, count, perform, missing)) as executor:
            yield executor
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _cancelled_on_error(executor: RayExecutor) -> Iterator[RayExecutor]:
    try:
        yield executor
    except BaseException:
        executor.cancel()
        raise


def _keep_to_ourselves() -> None:
    """Say how Ray is to be, before it is loaded: it reads its environment only then."""
    if "ray" in sys.modules and any(os.environ.get(name) != value for name, value in _LOCAL.items()):
        raise UsageError(
            "this process has loaded Ray already, as it listens to other machines",
            hint="run the sweep in a process of its own, or give the address of your cluster",
        )
    os.environ.update(_LOCAL)
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
        import ray.util
    except ImportError as error:
        raise UsageError(
            "Ray is not installed",
            hint="pip install 'edgecat[fleet]'; or without it, one job after the other: --serial",
        ) from error
    return ray


def _init(ray: Any, *, tries: int = 1, **options: Any) -> None:
    try:
        # Its own words go to its log files; workers find modules where this process does.
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, configure_logging=True, **options)
    except Exception as error:
        # A bare one comes where its node takes more than 30 s to start.
        ray.shutdown()
        if tries > 1:
            _init(ray, tries=tries - 1, **options)
            return
        raise UsageError(
            f"Ray does not start: {first_line(error)}", hint="see its own logs, or use --serial"
        ) from error
