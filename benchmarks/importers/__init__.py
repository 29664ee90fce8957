"""What other benchmark tools print, as records of ours, so that results stand in one table.

`import_results` knows the format by the content: standard output of LiteRT's `benchmark_model`, logs of ExecuTorch's
`executor_runner` (from logcat too), Minibench's JSON, standard output and JSON of LiteRT's Python benchmark
(`litert-benchmark`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.importers import benchmark_model, executor_runner, litert_python, minibench
from benchmarks.importers.told import Origin, Told, as_records
from benchmarks.records import Record
from foundation.errors import DataError, UsageError

__all__ = ["Origin", "Told", "import_results", "parse_results"]

# In turn: the first one that knows its own output takes it.
_PARSERS: Sequence[Callable[[str], list[Told] | None]] = (
    benchmark_model.parse,
    executor_runner.parse,
    minibench.parse,
    litert_python.parse,
)
# A log of an hour is some megabytes; what is larger is a model given by mistake.
_LARGEST_BYTES = 64 << 20


def import_results(path: Path, origin: Origin) -> list[Record]:
    """Read what another tool wrote, as the records that `benchmarks.records.append` writes.

    Args:
        path: the tool's output.
        origin: what the tools do not tell.

    Returns:
        The device, then a latency for each model and process that the file tells of: with samples where the tool gives
        them, else with what it `reported`. `run_id` is a hash of the file, so that one file is one run.

    Raises:
        DataError: no file, or the output of none of these tools.
        UsageError: the file tells of several models and `origin` names one.
    """
    content = _content(path)
    told = parse_results(content, str(path))
    if origin.artifact is not None and len({one.artifact for one in told}) > 1:
        raise UsageError(f"{path} tells of several models", hint="give no name for them")
    return as_records(told, content, origin, path)


def parse_results(content: str, place: str) -> list[Told]:
    """What one of the tools told, unchanged.

    Args:
        content: of its output.
        place: what errors call it.

    Raises:
        DataError: it is none of theirs, or one whose numbers cannot be read.
    """
    for parse in _PARSERS:
        told = parse(content)
        if told is not None:
            if not told:
                raise DataError(f"{place}: holds no latency", hint="was the benchmark broken off?")
            return told
    raise DataError(
        f"{place}: neither records of edgecat nor the output of a benchmark that it knows",
        hint="it reads benchmark_model, executor_runner, Minibench and litert-benchmark; see docs/compare.md",
    )


def _content(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path} is too large for the output of a benchmark")
        return path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
