"""Composes the report from the records and writes it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import jinja2
import numpy as np
from numpy.typing import NDArray

from benchmarks.record_set import RecordSet
from benchmarks.records import DeviceKind, Record, Victim
from benchmarks.report import plots, tables, words
from benchmarks.report.content import Code, Picture, Report, Section, Table, drawn
from benchmarks.report.csv_files import csv_files
from benchmarks.report.defences import detection_section, policies_section, policies_verdict
from benchmarks.report.drawing import Drawing
from benchmarks.report.others import others_sections
from benchmarks.report.pictures import contact_sheet
from benchmarks.report.precisions import precisions_section
from benchmarks.report.profiles import profiles_section
from benchmarks.report.queried import QueriedImages, queried_section
from benchmarks.report.splits import Readings, split_verdict, splits_section
from benchmarks.report.thefts import copy_section, gains_section, theft_blocks, worst_confusion
from benchmarks.report.verdict import against_random, verdict
from benchmarks.summary import Summary, summarise
from foundation.errors import DataError
from foundation.files import write_bytes, write_text

_PER_CLASS = 8


def write_report(
    records: Iterable[Record],
    out_dir: Path,
    contact_sheet: dict[str, NDArray[np.uint8]] | None = None,
    queried: Sequence[QueriedImages] = (),
    readings: Sequence[Readings] = (),
    summary: Summary | None = None,
) -> Path:
    """Write `report.html` (one file that needs no other), `report.md`, `plots/`, and `tables/` of CSV files.

    Args:
        records: of one run, or of runs that belong together. Whatever is missing is left out.
        out_dir: where to; files of an earlier report are replaced.
        contact_sheet: some images of each class, uint8 [N, height, width, 1 or 3], by class name.
        queried: some of the images that thieves asked about, with the victim's answers.
        readings: what attacks on split networks read back of some patients.
        summary: of these records, where it is known already.

    Returns:
        The path of `report.html`.

    Raises:
        DataError: no records, or records that contradict each other.
        UsageError: the place cannot be written.
    """
    held = RecordSet(tuple(records))
    if not held.records:
        raise DataError("there are no records to report", hint="edgecat run or edgecat attack makes some")
    summary = summary or summarise(held.records)
    report = compose(held, summary, contact_sheet, queried, readings)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("benchmarks.report", "templates"),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = _markdown
    for drawing in report.drawings:
        write_text(out_dir / "plots" / f"{drawing.name}.svg", drawing.svg)
        write_bytes(out_dir / "plots" / f"{drawing.name}.png", drawing.png)
    for name, png in report.pictures.items():
        write_bytes(out_dir / "plots" / name, png)
    for name, content in csv_files(held, summary).items():
        write_text(out_dir / "tables" / f"{name}.csv", content)
    write_text(out_dir / "report.md", environment.get_template("report.md.j2").render(report=report))
    page = out_dir / "report.html"
    write_text(page, environment.get_template("report.html.j2").render(report=report))
    return page


def compose(
    held: RecordSet,
    summary: Summary,
    images: dict[str, NDArray[np.uint8]] | None,
    queried: Sequence[QueriedImages] = (),
    readings: Sequence[Readings] = (),
) -> Report:
    """The report's content, before it becomes a page."""
    sections: list[Section] = []
    pictures: dict[str, bytes] = {}
    drawings: list[Drawing] = []
    if held.victim is not None:
        sections.append(_victim_section(held.victim, drawings))
    if images:
        sections.append(_contact_section(images, pictures))
    if summary.artifacts:
        text = (
            "Each file ran in its own runtime on the host beside the float victim, on images that neither training nor "
            "calibration had used. The bounds are the recipe's."
        )
        sections.append(Section("artefacts", "Exported models", (text,), (tables.artifact_table(summary.artifacts),)))
    for number, (device, kind) in enumerate(_devices(summary), start=1):
        sections += _device_sections(held, summary, device, kind, number, drawings)
    sections += others_sections(held, summary)
    sections += _theft_sections(held, summary, queried, drawings, pictures)
    sections += _defence_sections(held, readings, drawings, pictures)
    sections.append(_conditions_section(held))
    data = held.victim.dataset.name if held.victim else _data(held)
    runs = list(dict.fromkeys(record.run_id for record in held.records))
    when = max(record.created for record in held.records)
    return Report(
        title=_title(data, summary),
        facts=f"edgecat, {when:%d %B %Y, %H:%M} UTC, run {words.listing(runs)}",
        verdict=_verdict(held, summary),
        cautions=words.cautions(summary, held.context),
        sections=sections,
        drawings=drawings,
        pictures=pictures,
    )


def _defence_sections(
    held: RecordSet, readings: Sequence[Readings], drawings: list[Drawing], pictures: dict[str, bytes]
) -> list[Section]:
    found = (
        policies_section(held.policy_comparisons),
        detection_section(held.detections, drawings),
        splits_section(held, readings, pictures),
    )
    return [section for section in found if section is not None]


def _verdict(held: RecordSet, summary: Summary) -> list[str]:
    """What was found, first of defences, then of the model; of a model only where one was attacked."""
    of_defences = [*split_verdict(held.split_evaluations), *policies_verdict(held.policy_comparisons)]
    if (of_defences or held.detections) and not (summary.attacks or summary.artifacts):
        return of_defences
    return [*of_defences, *verdict(summary)]


def _title(data: str, summary: Summary) -> str:
    devices = [words.place(device, kind) for device, kind in _devices(summary)]
    if not devices:
        return f"What protects {data}"
    places = words.listing(devices)
    return f"What {data} leaks on {places}" if summary.attacks else f"{data} on {places}"


def _data(held: RecordSet) -> str:
    """The data's name where nobody trained on them: as defences or the settings have it, without their place."""
    of_defences = [one.dataset for one in held.split_evaluations] + [one.dataset for one in held.policy_comparisons]
    named = None if held.context is None else held.context.settings.get("data")
    return of_defences[0] if of_defences else Path(str(named)).name if named else "unnamed data"


def _victim_section(victim: Victim, drawings: list[Drawing]) -> Section:
    names = victim.dataset.class_names
    table = np.asarray(victim.confusion, np.int64)
    drawing = plots.confusion(table, names, "true class", "class that the victim names", "confusion_victim")
    drawings.append(drawing)
    alt = f"Confusion of the victim over {len(names)} classes. {worst_confusion(table, names)}"
    figure = drawn(drawing, alt, "The victim's errors on the test split: counts, shaded by their share of the row.")
    return Section("victim", "The victim", (), (tables.data_table(victim), figure))


def _contact_section(images: dict[str, NDArray[np.uint8]], pictures: dict[str, bytes]) -> Section:
    names = list(images)
    labels = np.repeat(np.arange(len(names)), [len(some) for some in images.values()])
    png = contact_sheet(np.concatenate(list(images.values())), labels, names, _PER_CLASS)
    pictures["contact_sheet.png"] = png
    alt = f"Contact sheet, a row of images for each class: {', '.join(names)}."
    caption = "Some images of each class, as the device receives them."
    return Section("images", "The images", (), (Picture("contact_sheet.png", alt, caption, png=png),))


def _device_sections(
    held: RecordSet, summary: Summary, device: str, kind: DeviceKind, number: int, drawings: list[Drawing]
) -> list[Section]:
    """All that was measured on one device: kinds and devices never share a table."""
    blocks: list[Table | Picture] = []
    place = words.place(device, kind)
    artifacts = [a for a in summary.artifacts if (a.device, a.device_kind) == (device, kind)]
    attacks = [a for a in summary.attacks if (a.device, a.device_kind) == (device, kind)]
    if artifacts:
        blocks.append(tables.device_table(artifacts, place))
    timed = [a for a in artifacts if a.latency_us is not None]
    if timed:
        drawing = plots.latency_bars(timed, f"latency_{number}")
        drawings.append(drawing)
        alt = f"Latency of {words.listing([a.name for a in timed])} on {place}; the numbers are in the table above."
        blocks.append(drawn(drawing, alt, f"Latency on {place}."))
    if attacks:
        blocks += theft_blocks(held, summary, attacks, number, drawings)
    paragraphs = (words.CONDITIONS[kind], *against_random(attacks))
    own = Section(f"device-{number}", f"On {place}", paragraphs, blocks)
    choice = precisions_section(held, artifacts, attacks, place, number, drawings)
    profiled = [profile for key, profile in held.profiles.items() if key[:2] == (device, kind)]
    times = profiles_section(profiled, place, number, drawings)
    return [section for section in (own, choice, times) if section is not None]


def _theft_sections(
    held: RecordSet,
    summary: Summary,
    queried: Sequence[QueriedImages],
    drawings: list[Drawing],
    pictures: dict[str, bytes],
) -> list[Section]:
    """What thieves of all devices have in common: their copies, what they asked, what they gain."""
    asked = queried_section(queried, held.class_names, pictures)
    return [
        *([copy_section(held, summary.attacks, drawings)] if summary.attacks else []),
        *([asked] if asked is not None else []),
        *([gains_section(summary.gains, drawings)] if summary.gains else []),
    ]


def _conditions_section(held: RecordSet) -> Section:
    blocks: list[Table | Code] = [tables.conditions_table(held.context, list(held.devices.values()))]
    if held.context is not None:
        blocks.append(Code("The command", shlex.join(held.context.command)))
        blocks.append(Code("Its settings", json.dumps(held.context.settings, indent=2, ensure_ascii=False)))
    text = (
        "Fidelity is the share of test images on which thief and attacked model name the same class; correct fidelity "
        "counts only those that the attacked model gets right. Intervals are 95\u00a0% bootstrap intervals; those of "
        "attacks draw seeds and test images anew; differences from random are paired over both. Latency counts "
        "inference alone, without warm-up and without the way over adb. Raw samples are in results.jsonl."
    )
    return Section("conditions", "Conditions", (text,), blocks)


def _devices(summary: Summary) -> list[tuple[str, DeviceKind]]:
    pairs = [(artifact.device, artifact.device_kind) for artifact in summary.artifacts]
    pairs += [(attack.device, attack.device_kind) for attack in summary.attacks]
    return list(dict.fromkeys((device, kind) for device, kind in pairs if device is not None and kind is not None))


def _markdown(text: str) -> str:
    """Text that Markdown shows letter for letter, on one line, within a table too."""
    for special in "\\`*|<>[]$":
        text = text.replace(special, "\\" + special)
    return re.sub(r"[ \t\r\n]+", " ", text).strip()
