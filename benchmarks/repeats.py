"""Several processes that measured the same artefact, as one number and how far they are apart.

Samples of one process are alike for reasons that have nothing to do with the artefact (memory layout, the core it
stands on), so processes are what is counted, not samples: a pooled percentile is the median of the processes' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

from benchmarks.schema_latency import Distribution, Latency, Memory, Validity
from benchmarks.statistics import evenly_picked
from foundation.errors import DataError


def same_series(one: Latency, other: Latency) -> bool:
    """Whether two records are repeats of one measurement."""
    return (one.run_id, one.artifact_sha256, one.engine, one.config) == (
        other.run_id,
        other.artifact_sha256,
        other.engine,
        other.config,
    )


def pooled(repeats: Sequence[Latency]) -> Latency:
    """One record for all repeats; a single one is given back as it is.

    Percentiles, mean and deviation are medians over the repeats, extremes are the extremes, `count` is the sum; raw
    samples stand one repeat after another. A minimum that one repeat missed is missed, a flag that one has is raised.

    Raises:
        DataError: no repeats.
    """
    if not repeats:
        raise DataError("no repeats to pool")
    if len(repeats) == 1:
        return repeats[0]
    raw = evenly_picked([sample for one in repeats for sample in one.raw_us])
    return repeats[-1].model_copy(
        update={
            "latency_us": _distribution([one.latency_us for one in repeats if one.latency_us is not None]),
            "load_ms": _median([one.load_ms for one in repeats]),
            "first_us": _median([one.first_us for one in repeats]),
            "warm_load_ms": _median([one.warm_load_ms for one in repeats]),
            "cold_load_ms": _median([one.cold_load_ms for one in repeats]),
            "energy_joules": _mean([one.energy_joules for one in repeats]),
            "raw_us": raw,
            "raw_kept": len(raw),
            "memory": _memory([one.memory for one in repeats]),
            "validity": _validity([one.validity for one in repeats]),
        }
    )


def spread(repeats: Sequence[Latency]) -> float | None:
    """How far the repeats' medians are apart: (largest - smallest) / their median; None for fewer than two."""
    medians = [one.latency_us.p50 for one in repeats if one.latency_us is not None]
    return (max(medians) - min(medians)) / median(medians) if len(medians) > 1 and median(medians) else None


def _distribution(found: Sequence[Distribution]) -> Distribution | None:
    if not found:
        return None
    middle = {name: median(getattr(one, name) for one in found) for name in ("mean", "std", "p50", "p90", "p99")}
    return Distribution(
        count=sum(one.count for one in found),
        min=min(one.min for one in found),
        max=max(one.max for one in found),
        **middle,
    )


def _memory(found: Sequence[Memory]) -> Memory:
    rss = [one.peak_rss_bytes for one in found if one.peak_rss_bytes is not None]
    pss = [one.peak_pss_bytes for one in found if one.peak_pss_bytes is not None]
    return Memory(
        peak_rss_bytes=max(rss, default=None),
        method="VmHWM" if rss else None,
        peak_pss_bytes=max(pss, default=None),
        pss_method="smaps_rollup" if pss else None,
    )


def _validity(found: Sequence[Validity]) -> Validity:
    drifts = [one.drift for one in found if one.drift is not None]
    return Validity(
        min_runs_met=_all([one.min_runs_met for one in found]),
        min_seconds_met=_all([one.min_seconds_met for one in found]),
        throttled=_any([one.throttled for one in found]),
        drift=max(drifts, key=abs, default=None),
        drifted=_any([one.drifted for one in found]),
    )


def _all(flags: Sequence[bool | None]) -> bool | None:
    known = [flag for flag in flags if flag is not None]
    return all(known) if known else None


def _any(flags: Sequence[bool | None]) -> bool | None:
    known = [flag for flag in flags if flag is not None]
    return any(known) if known else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
