"""`edgecat defend psgl evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from edgecat.cli import options
from edgecat.cli.output import Output


def evaluate(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL_DIR...", help="What edgecat defend psgl train wrote; one or more.")
    ],
    data: Annotated[str, typer.Option("--data", help="What they were trained on.")],
    out: Annotated[Path, typer.Option("--out", help="Directory for results.jsonl, pictures and the report.")],
    attack: Annotated[
        Optional[list[str]],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Option(
            "--attack",
            help="What tries to read patients back; repeatable. mean (no attack: the mean image), decoder, fsha; and "
            "on shared gradients dlg, idlg, geiping, each also as dlg:all. Default: mean and decoder.",
            show_default=False,
        ),
    ] = None,
    adversarial: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--adversarial",
            help="How test images are attacked so that the network errs; repeatable. fgsm, pgd, jsma (wants "
            "pip install 'edgecat[art]'). Default: fgsm and pgd.",
            show_default=False,
        ),
    ] = None,
    victims: Annotated[
        int, typer.Option("--victims", min=1, help="Test images that attacks are after, at most.")
    ] = 256,
    auxiliary: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--auxiliary", min=1, help="Other patients' images that the attacker has, at most. Default: all."),
    ] = None,
    effort: Annotated[
        float,
        typer.Option(
            "--effort", min=0.01, help="How long decoders and fsha learn: 1 is full strength, 0.5 half as long."
        ),
    ] = 1.0,
    seed: options.Seed = 0,
    size: options.Size = None,
    skip_bad: options.SkipBad = False,
    labels: options.Labels = None,
    json: options.Json = False,
) -> None:
    """Measure what a split network is worth, and what attacks read of its patients; one report for all of them.

    The seed is of the data's splits, as in train, and of the attacks. Started again with the same --out it does not
    repeat what is on record.
    """
    with Output(json) as output:
        from edgecat.settings import make_settings

        settings = make_settings(data=data, seed=seed, size=size, skip_bad=skip_bad, labels=labels)
        from defense.evaluation import EvaluationSettings, check_names
        from defense.inversion.attacks import InversionSettings
        from defense.inversion.decoder import DecoderSettings
        from defense.inversion.fsha import FshaSettings
        from edgecat.stages.data import load_dataset
        from edgecat.stages.split_evaluation import evaluate_directories

        tried = EvaluationSettings(
            inversion=tuple(attack or EvaluationSettings.inversion),
            adversarial=tuple(adversarial or EvaluationSettings.adversarial),
            victims=victims,
            auxiliary=auxiliary,
            attacks=InversionSettings(
                decoder=DecoderSettings(epochs=max(1, round(DecoderSettings.epochs * effort))),
                fsha=FshaSettings(steps=max(1, round(FshaSettings.steps * effort))),
            ),
            seed=seed,
        )
        check_names(tried)
        dataset = load_dataset(settings, output)
        found = evaluate_directories(models, dataset, tried, out, output)
        page = out / "report.html"
        document = {"report": str(page), "evaluations": [record.model_dump(mode="json") for record in found]}
        output.result(document, f"report: {page}")
