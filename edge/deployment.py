"""Bringing a model and a runner to a device, and starting the one on the other."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from edge.deployed import DeployedModel
from edge.devices.opening import OpenDevice
from edge.runner import legacy
from edge.runner.affinity import parse_cpus
from edge.runner.packages import RunnerPackage, choose_runner, python_package
from foundation.answers import AnswerPolicy
from foundation.errors import DeviceError, OperatorMissingError, UsageError
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
        profile: inferences under the runtime's profiler before the session begins; None for none. See `edge.profiling`.

    Raises:
        UsageError: `cpus` is no list of processors.
    """

    runner: str = "auto"
    runtime: str | None = None
    threads: int = 1
    cpus: str | None = None
    profile: int | None = None

    def __post_init__(self) -> None:
        # Told here, before anything travels to a device.
        if self.cpus is not None:
            parse_cpus(self.cpus)


DEFAULT = RunnerOptions()
# What a shell says of a program that it cannot execute, or cannot find.
_CANNOT_START = (126, 127)


def push_artifact(device: OpenDevice, artifact: Artifact, progress: Progress = SILENT) -> str:
    """Bring a model and its manifest to the device, whole and verified there; what is there already is not sent again.

    Returns:
        the model's path on the device.
    """
    manifest = artifact.manifest
    folder = f"{device.info.workdir}/models"
    remote = f"{folder}/{manifest.sha256[:16]}-{artifact.path.name}"
    device.claim()
    device.adb.check_shell(f"mkdir -p {shlex.quote(folder)}")
    device.adb.push_verified(artifact.path, remote, progress=progress)
    device.adb.push_verified(artifact.manifest_path, f"{remote}.json", progress=progress)
    return remote


def push_runner(device: OpenDevice, package: RunnerPackage, progress: Progress = SILENT) -> str:
    """Bring a runner to the device, whole and verified there; what is there already is not sent again.

    Returns:
        its directory on the device.
    """
    folder = f"{device.info.workdir}/runners/{package.name}-{package.digest[:16]}"
    device.claim()
    if _is_whole(device, package, folder):
        return folder
    folders = {posixpath.dirname(f"{folder}/{name}") for name in package.files}
    device.adb.check_shell(f"mkdir -p {shlex.join(sorted(folders))}")
    for name, content in package.files.items():
        mode = 0o755 if name in package.executable else 0o644
        device.adb.push_verified(content, f"{folder}/{name}", mode, progress)
    return folder


def _is_whole(device: OpenDevice, package: RunnerPackage, folder: str) -> bool:
    """Whether the device has every file of it, by one question."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in package.digests.items())
    checked = device.adb.shell(f"cd {shlex.quote(folder)} && sha256sum -c -", stdin=lines.encode())
    return checked.exit_code == 0


def start(
    device: OpenDevice,
    remote: str,
    manifest: Manifest,
    policy: AnswerPolicy,
    options: RunnerOptions = DEFAULT,
    progress: Progress = SILENT,
) -> DeployedModel:
    """Start the runner on a model that is on the device already.

    Args:
        device: where.
        remote: the model's path there.
        manifest: what it must be; the runner refuses any other file.
        policy: what answers may carry.
        options: what shall answer.
        progress: shows the building and pushing of the runner.

    Raises:
        ArtifactError: the file there is another, or the runtime refuses it.
        DeviceError: the runner cannot be started.
        UsageError: the runtime does not run such files, or not on this device, or is not set up.
    """
    policy.width(len(manifest.class_names))
    words = runner_words(manifest, policy, remote, options) | _other_runtime(device, manifest, options)

    def begin(package: RunnerPackage) -> DeployedModel:
        session = device.adb.start(shell_command(push_runner(device, package, progress), package, words))
        try:
            return DeployedModel(session, manifest, policy, device.info.spec, options.runtime)
        except DeviceError as error:
            if error.exit_status in _CANNOT_START:
                raise _cannot_start(device, package, error) from error
            raise

    package = _choose(device, manifest, options, progress)
    try:
        return begin(package)
    except OperatorMissingError:
        # ExecuTorch's kernels are as large as all the rest: they travel only for a program that asks for them, and
        # what it asks for its runner alone knows for sure.
        larger = _choose(device, manifest, options, progress, kernels=True)
        if larger.name == package.name:
            raise
        return begin(larger)


def shell_command(folder: str, package: RunnerPackage, words: Mapping[str, str]) -> str:
    """What starts a runner that stands in `folder` of the device, with these options."""
    arguments = " ".join(f"--{name}={shlex.quote(value)}" for name, value in words.items())
    return f"cd {shlex.quote(folder)} && exec {shlex.join(package.command)} {arguments}"


def deploy(
    device: OpenDevice,
    artifact: Artifact,
    policy: AnswerPolicy | None = None,
    options: RunnerOptions = DEFAULT,
    progress: Progress = SILENT,
) -> DeployedModel:
    """Push a model and start it; see `push_artifact` and `start`."""
    _other_runtime(device, artifact.manifest, options)
    remote = push_artifact(device, artifact, progress)
    return start(device, remote, artifact.manifest, policy or AnswerPolicy("label"), options, progress)


def runner_words(
    manifest: Manifest, policy: AnswerPolicy, remote: str, options: RunnerOptions = DEFAULT
) -> dict[str, str]:
    """The options of a runner that answers for the model at `remote` in its own runtime; see docs/protocol.md."""
    image = manifest.image
    words = {
        "runtime": manifest.runtime,
        "model": remote,
        "sha256": manifest.sha256,
        "policy": str(policy),
        "threads": str(options.threads),
        "image": ",".join(map(str, image.shape)),
        "mean": ",".join(map(repr, image.mean)),
        "std": ",".join(map(repr, image.std)),
        "layout": manifest.input.layout,
    }
    if options.cpus is not None:
        words["cpus"] = options.cpus
    if options.profile is not None:
        words["profile"] = str(options.profile)
    return words


def _other_runtime(device: OpenDevice, manifest: Manifest, options: RunnerOptions) -> dict[str, str]:
    """The runner's options that say what answers, where that is not the model's own runtime."""
    runtime = options.runtime
    if runtime in (None, manifest.runtime):
        return {}
    if runtime != legacy.RUNTIME or manifest.runtime != "tflite":
        raise UsageError(f"{runtime} does not run {manifest.name}", hint=f"its runtime is {manifest.runtime}")
    if options.runner not in ("auto", "python"):
        raise UsageError(f"only the Python runner has {runtime}, not {options.runner}", hint="--runner python")
    if device.info.kind != "embedded":
        raise UsageError(
            f"{runtime} answers only where this machine's Python and files are, {device.info.spec} has its own",
            hint="--device embedded",
        )
    return {"runtime": legacy.RUNTIME, "packages": str(legacy.packages())}


def _choose(
    device: OpenDevice, manifest: Manifest, options: RunnerOptions, progress: Progress, *, kernels: bool = False
) -> RunnerPackage:
    if options.runtime == legacy.RUNTIME:
        return python_package()
    info = device.info
    return choose_runner(
        manifest.runtime,
        info.abi,
        info.bionic,
        preferred=options.runner,
        kernels=kernels,
        page_bytes=info.page_bytes,
        progress=progress,
    )


def _cannot_start(device: OpenDevice, package: RunnerPackage, error: DeviceError) -> DeviceError:
    python = package.name == "python"
    return DeviceError(
        f"the device cannot start the runner {package.name}",
        device=device.info.spec,
        exit_status=error.exit_status,
        stderr=error.stderr,
        hint="it has no python3: use --runner native" if python else f"is it a device for {package.abi}? see doctor",
    )
