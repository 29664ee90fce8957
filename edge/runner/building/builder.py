"""Builds one runner, unless it is kept already."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from edge.runner.building.android import plan_android
from edge.runner.building.elf import read_elf
from edge.runner.building.linux import plan_linux
from edge.runner.building.plan import Plan
from edge.runner.building.record import (
    BuiltRunner,
    content_folder,
    describe_files,
    load_record,
    place,
    runners_folder,
    write_record,
)
from edge.runner.building.store import replacing_folder
from edge.runner.building.targets import Target
from foundation.errors import UsageError
from foundation.folders import locked
from foundation.progress import SILENT, Progress

# Runners of one target that stay in the cache: of two versions of edgecat, say, or of two TFLite libraries.
_KEPT = 3


def build(target: Target, progress: Progress = SILENT, tflite_library: Path | None = None) -> BuiltRunner:
    """Give a runner: the kept one if it was made of the same things, else one built now.

    Args:
        target: which.
        progress: shows what is fetched and built.
        tflite_library: for the android flavour, a TFLite library (.so, .aar) in place of the npm package's.

    Raises:
        ArtifactError: the compiler or the runtime cannot be had, or the build failed; nothing half-built is left.
        UsageError: the cache cannot be written, or a TFLite library is given to the linux flavour.
    """
    if target.flavour == "android":
        plan = plan_android(target, tflite_library)
    elif tflite_library is None:
        plan = plan_linux(target)
    else:
        raise UsageError("a TFLite library can be given to the android flavour only", hint="--flavour android")
    where = place(target, plan.key)
    kept = load_record(where)
    if kept is not None:
        return kept
    with locked(runners_folder() / f".{target.name}.lock", progress):
        return load_record(where) or _build(plan, where, progress)


def _prune(target: Target) -> None:
    """Remove all but the newest runners of a target: every change of a source makes a new one."""
    kept = sorted(runners_folder().glob(f"{target.name}-*"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _build(plan: Plan, where: Path, progress: Progress) -> BuiltRunner:
    runtime = plan.fetch(progress)
    with progress.task(f"building {plan.target.name}"), replacing_folder(where) as temporary:
        begin = time.monotonic()
        content = content_folder(temporary)
        content.mkdir()
        plan.make(runtime, content)
        built = BuiltRunner(
            target=plan.target,
            key=plan.key,
            made_of=plan.made_of,
            command=plan.command,
            seconds=round(time.monotonic() - begin, 3),
            page_bytes=min(read_elf(path).alignment for path in content.rglob("*") if path.is_file()),
            files=describe_files(content),
            folder=content_folder(where),
        )
        write_record(built, temporary)
    _prune(plan.target)
    return built
