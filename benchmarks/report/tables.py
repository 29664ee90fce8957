"""The tables of a report, but those of thefts (`benchmarks.report.theft_tables`)."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records import Context, Device, Victim
from benchmarks.report.content import Table
from benchmarks.report.words import NOT_MEASURED, bytes_of, number, percent, percent_with_interval
from benchmarks.summary import ArtifactSummary


def data_table(victim: Victim) -> Table:
    """The data set and the victim, fact by fact."""
    data, sizes = victim.dataset, victim.dataset.sizes
    height, width, channels = data.image_shape
    rows = [
        ("data set", f"{data.name} (sha256 {data.sha256[:16]}…)"),
        ("classes", f"{len(data.class_names)}: {', '.join(data.class_names)}"),
        ("images", f"{height} × {width} pixels, {channels} channel{'s' if channels > 1 else ''}, 8 bit"),
        ("train, validation, test, thief", " / ".join(f"{size:,}" for size in sizes.model_dump().values())),
        ("architecture", f"{victim.architecture}, {victim.parameters:,} parameters (sha256 {victim.sha256[:16]}…)"),
        ("trained", f"{victim.epochs} epochs, {number(victim.seconds_train)} s"),
        ("accuracy on test (95 %)", percent_with_interval(victim.accuracy, victim.accuracy_ci)),
        ("macro-F1 on test", number(victim.macro_f1)),
    ]  # fmt: skip
    return Table("The data and the float victim", ("fact", "value"), rows)


def artifact_table(artifacts: Sequence[ArtifactSummary]) -> Table:
    """Exported files and their parity with the float victim."""
    once = {artifact.name: artifact for artifact in artifacts}.values()
    rows = [
        (
            a.name,
            a.runtime,
            a.precision,
            bytes_of(a.bytes),
            f"{a.parity.images:,}",
            f"{percent(a.parity.agreement)} (≥ {percent(a.parity.min_agreement)})",
            number(a.parity.rms) + ("" if a.parity.max_rms is None else f" (≤ {number(a.parity.max_rms)})"),
            number(a.parity.max_abs),
            "yes" if a.parity.ok else "NO",
        )
        for a in once
    ]
    head = (
        "artefact", "runtime", "precision", "size", "parity images", "same top-1 (bound)", "rms of logits (bound)",
        "max error of logits", "passed",
    )  # fmt: skip
    return Table("Exported models, compared on the host with the float victim", head, rows, frozenset(range(3, 8)))


def device_table(artifacts: Sequence[ArtifactSummary], place: str) -> Table:
    """What the artefacts did on one device."""
    rows = []
    for a in artifacts:
        compared = NOT_MEASURED
        if a.labels_compared and a.labels_equal is not None:
            compared = f"{a.labels_equal:,} of {a.labels_compared:,}"
        quantiles = (
            (None, None, None) if a.latency_us is None else (a.latency_us.p50, a.latency_us.p90, a.latency_us.p99)
        )
        rows.append((
            a.name,
            a.engine or NOT_MEASURED,
            percent_with_interval(a.accuracy_on_device, a.accuracy_on_device_ci),
            compared,
            *(_milliseconds(q) for q in quantiles),
            _milliseconds(a.first_us),
            number(a.load_ms),
            bytes_of(None if a.memory is None else a.memory.peak_rss_bytes),
            NOT_MEASURED if a.latency_us is None else f"{a.latency_us.count:,}",
        ))  # fmt: skip
    head = (
        "artefact", "answered by", "accuracy (95 %)", "labels as in process", "p50, ms", "p90, ms", "p99, ms",
        "first, ms", "load, ms", "peak memory", "runs",
    )  # fmt: skip
    return Table(f"On {place}: answers, and latency of one inference", head, rows, frozenset(range(2, 11)))


def conditions_table(context: Context | None, devices: Sequence[Device]) -> Table:
    """Device, host, software."""
    rows: list[tuple[str, str]] = []
    for device in devices:
        known = [device.model, device.abi, device.os_version and f"OS {device.os_version}"]
        # A physical device's spec holds its serial number, which a report has no business telling.
        place = f"serial hash {device.serial_hash}" if device.device_kind == "physical" else device.spec
        rows.append((f"{device.device_kind} device", ", ".join([*(part for part in known if part), place])))
    if context is not None:
        memory = "" if context.memory_bytes is None else f", {bytes_of(context.memory_bytes)} of memory"
        rows += [
            ("host", f"{context.cpu or 'unknown CPU'}, {context.cores} cores{memory}"),
            ("platform", f"{context.platform}, Python {context.python}"),
            ("seed", str(context.seed)),
            ("edgecat", context.edgecat_version),
            *sorted(context.versions.items()),
        ]
    return Table("Where and with what this was measured", ("fact", "value"), rows)


def _milliseconds(microseconds: float | None) -> str:
    return NOT_MEASURED if microseconds is None else number(microseconds / 1000)
