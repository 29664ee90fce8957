"""`edgecat defend detect` and `edgecat defend watermark`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output

if TYPE_CHECKING:
    from edgecat.stages.detect import DetectionResult

watermark = typer.Typer(no_args_is_help=True, help="A mark in few answers that proves whose model a copy was made of.")

KeyFile = Annotated[Path, typer.Argument(metavar="KEY", help="The owner's secret key, a file of mode 0600.")]


def detect(
    source: Annotated[
        Path, typer.Argument(metavar="LEDGER_OR_DIR", help="A ledger, or what edgecat attack --out or run left.")
    ],
    data: Annotated[
        Optional[str],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Option("--data", help="Data of the attack. Default: as the records beside the ledger say."),
    ] = None,
    data_seed: Annotated[int, typer.Option("--data-seed", min=0, help="With --data: the attack's --seed.")] = 0,
    size: options.Size = None,
    labels: options.Labels = None,
    detector: Annotated[
        str, typer.Option("--detector", help="prada, band (PRADA with a ceiling too), soda, or all.")
    ] = "all",
    checkpoint: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--checkpoint", help="The victim's float network, for soda. Default: a run directory's own."),
    ] = None,
    queries: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--queries", min=1, help="Replay no more than so many of each thief. Default: all."),
    ] = None,
    streams: Annotated[int, typer.Option("--streams", min=1, help="Orders of the patients for false alarms.")] = 100,
    rate: Annotated[
        float, typer.Option("--rate", min=0.001, max=0.5, help="Share of harmless sessions that soda may disturb.")
    ] = 0.01,
    seed: options.Seed = 0,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Add the result to records and report in this directory, as the attack's own."),
    ] = None,
    json: options.Json = False,
) -> None:
    """How many queries each thief of a ledger gets until a detector raises its alarm, and what patients set off.

    No device is asked: every thief walks its way again, answered by the ledger.
    """
    with Output(json) as output:
        from edgecat.settings import make_settings
        from edgecat.stages.detect import DETECTORS, DetectSettings, PastAttack
        from edgecat.stages.detect import detect as measure

        names = DETECTORS if detector == "all" else (detector,)
        settings = DetectSettings(names, queries, streams, rate, seed)
        given = None
        if data is not None:
            given = make_settings(data=data, seed=data_seed, size=size, labels=labels)
        attack = PastAttack.find(source, given, output)
        result = measure(attack, checkpoint, settings, output)
        text = _table(result)
        if out is not None:
            from edgecat.stages.recorded import add_to_report, detection_record

            page = add_to_report(out, detection_record(result), attack.dataset, output)
            text += f"\nreport: {page}"
        output.result(result.document(), text)


def _table(result: DetectionResult) -> str:
    lines = []
    for thief in result.thieves:
        said = [
            f"{one.detector} {f'not in {one.observed:,}' if one.alarm is None else f'at {one.alarm:,}'}"
            for one in thief.detections
        ]
        lines.append(f"{thief.pool}, {thief.strategy}, seed {thief.seed}: {'; '.join(said)}")
    for alarms in result.false_alarms:
        low, high = alarms.interval
        lines.append(
            f"{alarms.detector}, false alarms: {alarms.count} of {len(alarms.alarms)} streams of up to "
            f"{alarms.length:,} images of patients ({low:.1%} to {high:.1%})"
        )
    return "\n".join([*lines, *(f"left out: {line}" for line in result.left_out)])


@watermark.command("make-key")
def make_key(key: KeyFile, json: options.Json = False) -> None:
    """Draw a secret key."""
    with Output(json) as output:
        from defense.ownership import key as keys

        mark = keys.fingerprint(keys.make_key(key))
        output.result({"key": str(key), "fingerprint": mark}, f"{key}: key {mark}; whoever has it can avoid the mark")


@watermark.command("verify")
def verify(
    key: KeyFile,
    registered: Annotated[Path, typer.Argument(metavar="SET", help="The registered watermark of a session, .npz.")],
    suspect: Annotated[Path, typer.Argument(metavar="SUSPECT", help="A checkpoint (.safetensors), as of a copycat.")],
    innocent: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--innocent", help="A checkpoint that was trained without the victim, to compare."),
    ] = None,
    json: options.Json = False,
) -> None:
    """Is a suspect model a copy of ours? Says how improbable an innocent one's agreement with our mark is."""
    with Output(json) as output:
        from dataclasses import asdict

        from defense.ownership.key import read_key
        from edgecat.stages.ownership import judge

        found = judge(read_key(key), registered, suspect, innocent)
        text = (
            f"{found.verdict}: agrees with {found.agreements} of {found.images} altered answers; an innocent model "
            f"does so with a probability of 2^-{found.bits:.1f}"
        )
        output.result(asdict(found) | {"p_value": found.p_value}, text)
