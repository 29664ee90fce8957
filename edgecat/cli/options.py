"""Options that several commands share, each explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; logs stay on stderr.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="phantom (made here), a MedMNIST .npz, a folder of images by class, or one of DICOM files with a CSV.",
    ),
]
DeviceSpec = Annotated[
    Optional[str],  # noqa: UP045 - read at run time by Typer, also on 3.10
    typer.Option(
        "--device",
        help="embedded · serial:XYZ (adb server) · serial (its only device) · tcp:HOST:PORT · usb:SERIAL · "
        "sandbox:x86_64|arm64-v8a · vm:arm64-v8a · emulator:NAME. See: edgecat devices. "
        "Default: ANDROID_SERIAL if set, else embedded.",
        show_default=False,
    ),
]
Key = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--key", help="Private adb key for tcp: devices. Default: ~/.android/adbkey, or one made for edgecat."
    ),
]
Answers = Annotated[
    str,
    typer.Option(
        "--answers",
        help="What the victim lets out, cut down or disturbed on the device: label, topk:K, scores, round:D, noise:S, "
        "reverse_sigmoid:B,G, confident:T or logits. See docs/policies.md.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Source of all chance; the same seed gives the same run.")]
ThiefSeed = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--thief-seed", min=0, help="Of the first thief, against the same victim. Default: --seed."),
]
Effort = Annotated[
    float, typer.Option("--effort", min=0.01, help="How long copycats learn: 1 is full strength, 0.5 half as long.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime on the device.")]
Runner = Annotated[
    str,
    typer.Option(
        "--runner",
        help="What answers on the device: auto (native where it can be had, else Python), native, python, or one of "
        "edgecat runner list.",
    ),
]
Runtime = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        "--runtime",
        help="tflite-legacy: a .tflite file is answered for by tflite-runtime 2.14 (edgecat runner legacy sets it up). "
        "Default: the file's own.",
        show_default=False,
    ),
]
Cpus = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--cpus", help="Processor cores of the device that the runner may use, as in 0,2-3. Default: all."),
]
Pools = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--pool",
        help="Where the thief's images come from; repeatable. npd (procedural, not of the domain), proxy (another "
        "hospital), pd:N (N images of the domain), a folder or .npz; several joined by + are one pool, as in "
        "npd+pd:100. Default: npd, proxy and pd:100, as far as the data set offers them.",
        show_default=False,
    ),
]
Resize = Annotated[bool, typer.Option("--resize", help="Make a pool's images of another size or channels fit.")]
Strategies = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--strategy",
        help="How the thief chooses its queries; repeatable. random, amplify (variants of few images), "
        "amplify:STRATEGY (variants that a strategy chooses), or one of docs/attacks.md: balanced, entropy, kcenter, "
        "dfal_kcenter, knockoff, marich, jbda, datafree. Default: amplify for pd:N, random for the rest.",
        show_default=False,
    ),
]
Baseline = Annotated[
    bool, typer.Option("--baseline/--no-baseline", help="Beside each strategy also query at random, to compare.")
]
Gains = Annotated[
    bool,
    typer.Option(
        "--gains/--no-gains",
        help="Also measure what the first seed's thieves gain beyond labels: adversarial examples for the device, "
        "saliency maps, calibration.",
    ),
]
Budgets = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        "--budgets",
        "--budget",
        metavar="N",
        help="Queries: 2000, 2k or 1M; several make a curve, as in 250,1k,16k; curve is 250 … 16k doubling.",
        show_default=False,
    ),
]
Learner = Annotated[
    str,
    typer.Option(
        "--learner",
        help="How the copycat learns: supervised (from the answers), semi (also from images that nobody asked about).",
    ),
]
Seeds = Annotated[int, typer.Option("--seeds", min=1, help="How many thieves, each with a seed of its own.")]
Thief = Annotated[
    str,
    typer.Option(
        "--thief",
        help="The copycat's network: stacked, plain, residual, mobile, module:factory, or same as the victim's.",
    ),
]
Architecture = Annotated[
    str,
    typer.Option("--architecture", help="The victim's network: residual, mobile, plain, stacked, or module:factory."),
]
Size = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--size", min=8, help="Side of the images in pixels, for folders and DICOM. Default: 64."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Name bad files of a folder and leave them out.")]
Labels = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--labels", help="CSV of labels (file,label[,patient]) for a folder of DICOM files."),
]
Epochs = Annotated[
    Optional[int],  # noqa: UP045
    typer.Option("--epochs", min=1, help="Of the victim's training. Default: as many as fit the data."),
]
Quick = Annotated[
    bool,
    typer.Option(
        "--quick",
        help="Sooner: --budgets 250,1000 and --seeds 1 unless given, half a second for each latency; records say so.",
    ),
]
Model = Annotated[Path, typer.Argument(help="A .tflite or .pte file with its manifest beside it.")]
