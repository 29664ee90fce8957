"""`edgecat defend`."""

from __future__ import annotations

import typer

from edgecat.cli import defend_detect, defend_evaluate, defend_policies, defend_psgl

app = typer.Typer(
    no_args_is_help=True,
    help="Measure what protects a deployed model and the patients behind it, against the attacks that test it.",
)

defend_psgl.app.command("evaluate")(defend_evaluate.evaluate)
app.add_typer(defend_psgl.app, name="psgl")
app.command("policies")(defend_policies.policies)
app.command("detect")(defend_detect.detect)
app.add_typer(defend_detect.watermark, name="watermark")
