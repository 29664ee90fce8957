"""Bringing a model and a runner to a device, and starting the one on the other."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from edge.deployed import DeployedModel
from edge.devices.opening import OpenDevice
from edge.runner import legacy
from edge.runner.bundle import runner_bundle
from foundation.answers import AnswerPolicy
from foundation.errors import DeviceError, UsageError
from foundation.files import sha256_bytes
from foundation.manifest import Artifact, Manifest
from foundation.progress import SILENT, Progress


@dataclass(frozen=True)
class RunnerOptions:
    """What shall answer on the device, and how.

    Attributes:
        runner: `auto` (native where one can be had), `native`, `python`, or the name of one (`edgecat runner list`).
        runtime: None for the manifest's own, or `tflite-legacy` for a `.tflite` file.
        threads: threads of the runtime.
        cpus: processor cores that the runner may use, as in `0,2-3`; None for all.
    """

    runner: str = "auto"
    runtime: str | None = None
    threads: int = 1
    cpus: str | None = None


DEFAULT = RunnerOptions()


def push_artifact(device: OpenDevice, artifact: Artifact, progress: Progress = SILENT) -> str:
    """Bring a model and its manifest to the device, whole and verified there; what is there already is not sent again.

    Returns:
        the model's path on the device.
    """
    manifest = artifact.manifest
    folder = f"{device.info.workdir}/models"
    remote = f"{folder}/{manifest.sha256[:16]}-{artifact.path.name}"
    device.adb.check_shell(f"mkdir -p {shlex.quote(folder)}")
    device.adb.push_verified(artifact.path, remote, progress=progress)
    device.adb.push_verified(artifact.manifest_path, f"{remote}.json", progress=progress)
    return remote


def push_runner(device: OpenDevice) -> str:
    """Bring the Python runner to the device; its path there."""
    bundle = runner_bundle()
    remote = f"{device.info.workdir}/runner-{sha256_bytes(bundle)[:16]}.pyz"
    device.adb.check_shell(f"mkdir -p {shlex.quote(device.info.workdir)}")
    device.adb.push_verified(bundle, remote)
    return remote


def start(
    device: OpenDevice, remote: str, manifest: Manifest, policy: AnswerPolicy, options: RunnerOptions = DEFAULT
) -> DeployedModel:
    """Start the runner on a model that is on the device already.

    Args:
        device: where.
        remote: the model's path there.
        manifest: what it must be; the runner refuses any other file.
        policy: what answers may carry.
        options: what shall answer.

    Raises:
        ArtifactError: the file there is another, or the runtime refuses it.
        DeviceError: the runner cannot be started.
        UsageError: the runtime does not run such files, or not on this device, or is not set up.
    """
    policy.width(len(manifest.class_names))
    words = _options(manifest, policy, remote, options) | _runtime(device, manifest, options.runtime)
    runner = push_runner(device)
    arguments = " ".join(f"--{name}={shlex.quote(value)}" for name, value in words.items())
    session = device.adb.start(f"exec python3 {shlex.quote(runner)} {arguments}")
    try:
        return DeployedModel(session, manifest, policy, device.info.spec)
    except DeviceError as error:
        if error.exit_status == 127:
            raise DeviceError(
                "the device has no python3 for the Python runner",
                device=device.info.spec,
                exit_status=127,
                hint="use the embedded device, or a board that has Python and the runtime",
            ) from error
        raise


def deploy(
    device: OpenDevice,
    artifact: Artifact,
    policy: AnswerPolicy | None = None,
    options: RunnerOptions = DEFAULT,
    progress: Progress = SILENT,
) -> DeployedModel:
    """Push a model and start it; see `push_artifact` and `start`."""
    _runtime(device, artifact.manifest, options.runtime)
    remote = push_artifact(device, artifact, progress)
    return start(device, remote, artifact.manifest, policy or AnswerPolicy("label"), options)


def _options(manifest: Manifest, policy: AnswerPolicy, remote: str, options: RunnerOptions) -> dict[str, str]:
    """The runner's command line; see docs/protocol.md."""
    image = manifest.image
    words = {
        "model": remote,
        "sha256": manifest.sha256,
        "policy": str(policy),
        "threads": str(options.threads),
        "image": ",".join(map(str, image.shape)),
        "mean": ",".join(map(repr, image.mean)),
        "std": ",".join(map(repr, image.std)),
        "layout": manifest.input.layout,
    }
    return words if options.cpus is None else words | {"cpus": options.cpus}


def _runtime(device: OpenDevice, manifest: Manifest, runtime: str | None) -> dict[str, str]:
    """The runner's options that say what answers."""
    if runtime in (None, manifest.runtime):
        return {"runtime": manifest.runtime}
    if runtime != legacy.RUNTIME or manifest.runtime != "tflite":
        raise UsageError(f"{runtime} does not run {manifest.name}", hint=f"its runtime is {manifest.runtime}")
    if device.info.kind != "embedded":
        raise UsageError(
            f"{runtime} answers only where this machine's Python and files are, {device.info.spec} has its own",
            hint="--device embedded",
        )
    return {"runtime": legacy.RUNTIME, "packages": str(legacy.packages())}
