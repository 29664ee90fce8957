"""Two artefacts of one run against each other: two builds that were measured in turns, two precisions, two runtimes."""

from __future__ import annotations

from pathlib import Path

from benchmarks.comparison.loading import Run
from benchmarks.record_set import RecordSet
from benchmarks.records import AccuracyOnDevice, ArtifactRecord, Attack, Latency, Record
from foundation.errors import DataError
from foundation.files import sha256_file

_DIGITS = 6


def between(run: Run, a: str, b: str) -> tuple[Run, Run]:
    """What a run holds of artefact A, and what of B, as two runs whose artefact has one name.

    Args:
        a, b: an artefact's name; or, where two have one name, the model file itself or the first digits of its SHA-256.

    Raises:
        DataError: the run holds nothing of one of them, or several files of its name.
    """
    found_a, found_b = _of(run, a), _of(run, b)
    names = [_name(found) for found in (found_a, found_b)]
    name = names[0] if names[0] == names[1] else " / ".join(names)
    rest = [record for record in run.held.records if not isinstance(record, (AccuracyOnDevice, Attack, Latency))]
    return (
        Run(a, RecordSet((*rest, *(one.model_copy(update={"artifact": name}) for one in found_a)))),
        Run(b, RecordSet((*rest, *(one.model_copy(update={"artifact": name}) for one in found_b)))),
    )


def _of(run: Run, word: str) -> list[AccuracyOnDevice | Attack | Latency]:
    """Records of one artefact. Only latencies say which file they are of; the rest goes by its name."""
    digest = sha256_file(Path(word)) if Path(word).is_file() else word
    exported = {
        record.name for record in run.held.records if isinstance(record, ArtifactRecord) and _is(record, digest)
    }
    found = [
        record
        for record in run.held.records
        if isinstance(record, (AccuracyOnDevice, Attack, Latency))
        and (record.artifact in {word, *exported} or _is(record, digest))
    ]
    if not found:
        raise DataError(f"{run.name} holds nothing of {word}", hint=f"it holds {', '.join(_artifacts(run)) or 'none'}")
    files = {record.artifact_sha256 for record in found if isinstance(record, Latency) and record.artifact_sha256}
    if len(files) > 1:
        raise DataError(f"{run.name} holds {len(files)} files of the name {word}", hint="name the model files instead")
    return found


def _is(record: Record, digest: str) -> bool:
    """Whether a record is of the file with this SHA-256, or its first digits."""
    own = getattr(record, "artifact_sha256", None) or getattr(record, "sha256", None)
    return own is not None and len(digest) >= _DIGITS and str(own).startswith(digest)


def _name(found: list[AccuracyOnDevice | Attack | Latency]) -> str:
    return found[0].artifact


def _artifacts(run: Run) -> list[str]:
    return list(dict.fromkeys(record.artifact for record in run.held.records if isinstance(record, Latency)))
