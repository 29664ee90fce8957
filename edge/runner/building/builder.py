"""Builds one runner, unless it is kept already."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

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
from edge.runner.building.store import locked, replacing_folder
from edge.runner.building.targets import Target
from foundation.progress import SILENT, Progress

# Runners of one target that stay in the cache: of two versions of edgecat, say, or of two TFLite libraries.
_KEPT = 3


def build(target: Target, progress: Progress = SILENT) -> BuiltRunner:
    """Give a runner: the kept one if it was made of the same things, else one built now.

    Raises:
        ArtifactError: the compiler or the runtime cannot be had, or the build failed; nothing half-built is left.
        UsageError: the cache cannot be written.
    """
    plan = plan_linux(target)
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
            files=describe_files(content),
            folder=content_folder(where),
        )
        write_record(built, temporary)
    _prune(plan.target)
    return built
