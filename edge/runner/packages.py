"""What is pushed to a device so that it can answer: one type for all runners, and the choice among them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge.runner import building
from edge.runner.bundle import runner_bundle
from foundation.errors import ArtifactError, UsageError
from foundation.files import sha256_bytes, sha256_file
from foundation.progress import SILENT, Progress


@dataclass(frozen=True)
class RunnerPackage:
    """A runner as it is pushed: a directory's files, and the words that start it there.

    Attributes:
        name: for example `litert-linux-x86_64` or `python`.
        runtimes: which model formats it answers for: a manifest's `runtime`.
        abi: Android's name of the processor that it is for; None for any.
        files: content by path relative to the directory: bytes, or a file of this machine.
        executable: those of the files that the device must be able to execute.
        command: words that start it, with paths relative to the directory, which must be the working directory.
        page_bytes: the largest memory page under which a kernel loads it; None for any.
    """

    name: str
    runtimes: tuple[str, ...]
    abi: str | None
    files: Mapping[str, Path | bytes]
    executable: frozenset[str]
    command: tuple[str, ...]
    page_bytes: int | None = None

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 of each file, as 64 hexadecimal digits."""
        return {
            name: sha256_bytes(content) if isinstance(content, bytes) else sha256_file(content)
            for name, content in self.files.items()
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names, modes and contents, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for name, own in sorted(self.digests.items()):
            digest.update(f"{own} {'x' if name in self.executable else '-'} {name}\n".encode())
        return digest.hexdigest()

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(len(c) if isinstance(c, bytes) else c.stat().st_size for c in self.files.values())


def python_package() -> RunnerPackage:
    """The Python runner, for a device that has Python and the runtime."""
    return RunnerPackage(
        name="python",
        runtimes=("tflite", "executorch"),
        abi=None,
        files={"runner.pyz": runner_bundle()},
        executable=frozenset(),
        command=("python3", "runner.pyz"),
    )


def native_package(built: building.BuiltRunner) -> RunnerPackage:
    """A built runner."""
    return RunnerPackage(
        name=built.target.name,
        runtimes=(building.RUNTIMES[built.target.engine],),
        abi=built.target.abi.name,
        files={name: built.folder / name for name in built.files},
        executable=frozenset(name for name, file in built.files.items() if file.executable),
        command=built.command,
        page_bytes=built.page_bytes,
    )


def choose_runner(
    runtime: str,
    abi: str,
    android: bool,
    *,
    preferred: str | None = None,
    kernels: bool = False,
    page_bytes: int = 4096,
    progress: Progress = SILENT,
) -> RunnerPackage:
    """The runner for a model on a device; built if it is not kept already.

    On Android a `.tflite` file gets the runner for bionic; on other devices, and for a `.pte` file, it is the bundle
    with a glibc of its own. Where none can be had, the Python runner, and `progress` says why.

    Args:
        runtime: what the model asks for: `tflite` or `executorch`.
        abi: the device's processor, by Android's name.
        android: whether the device has bionic.
        preferred: `native` (never Python), `python`, or one by name (`litert-linux` or `litert-linux-x86_64`); None or
            `auto` for the best that can be had.
        kernels: the program has operators that are not delegated: of native runners only one that carries ExecuTorch's
            kernels will do.
        page_bytes: size of the device's memory pages (`getconf PAGE_SIZE`); some phones have 16,384.
        progress: shows what is fetched and built.

    Raises:
        ArtifactError: the runner that was asked for cannot be had.
        UsageError: no runner of that name runs such a model on such a device.
    """
    if preferred == "python":
        return python_package()
    targets = [target for target in _targets(runtime, abi, android) if _is_meant(target, preferred, kernels)]
    reasons = []
    for target in targets:
        try:
            package = native_package(building.build(target, progress))
        except ArtifactError as error:
            reasons.append(error)
            continue
        if page_bytes <= (package.page_bytes or page_bytes):
            if reasons:
                progress.say(f"{package.name} answers: {'; '.join(map(str, reasons))}")
            return package
        reasons.append(_too_small(package, page_bytes))
    if preferred not in (None, "auto"):
        raise (
            reasons[0]
            if reasons
            else UsageError(
                f"no native runner for {runtime} on {abi}" + (f" is {preferred}" if preferred != "native" else ""),
                hint=_choices(runtime, abi, android),
            )
        )
    if reasons:
        progress.say(f"the Python runner answers: {'; '.join(map(str, reasons))}")
    return python_package()


def _targets(runtime: str, abi: str, android: bool) -> Iterator[building.Target]:
    """What could be built for such a model and device, the best first."""
    for flavour in ("android", "linux") if android else ("linux",):
        for engine in building.ENGINES[flavour]:
            if building.RUNTIMES[engine] == runtime and abi in building.ABIS:
                yield building.make_target(abi, flavour, engine)


def _is_meant(target: building.Target, preferred: str | None, kernels: bool) -> bool:
    if preferred in (None, "auto", "native"):
        return target.has_kernels == kernels
    return preferred in (f"{target.engine}-{target.flavour}", target.name)


def _choices(runtime: str, abi: str, android: bool) -> str:
    named = [f"--runner {target.name}" for target in _targets(runtime, abi, android)]
    return ", ".join([*named, "--runner python"]) + ", where the device has Python"


def _too_small(package: RunnerPackage, page_bytes: int) -> ArtifactError:
    return ArtifactError(
        f"{package.name} loads under memory pages of up to {package.page_bytes} bytes, the device has {page_bytes}"
    )
