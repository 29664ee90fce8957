"""`edgecat runner`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from edgecat.cli import legacy, options
from edgecat.cli.output import Output

if TYPE_CHECKING:
    from edge.runner.building import BuiltRunner

app = typer.Typer(no_args_is_help=True, help="What answers on a device: the runners, and the runtimes in them.")


@app.command("build")
def build(
    abi: Annotated[
        str,
        typer.Option(
            "--abi", help="x86_64 (AVDs, this machine perhaps) or arm64-v8a (phones); getprop ro.product.cpu.abi."
        ),
    ],
    flavour: Annotated[
        str,
        typer.Option(
            "--flavour",
            help="linux: brings its own glibc and needs nothing of the device but the kernel; wants g++ or the cross "
            "g++. android: for bionic since Android 8; wants pip install 'edgecat[android]', no NDK.",
        ),
    ] = "linux",
    engine: Annotated[
        Optional[str],  # noqa: UP045 - read at run time by Typer, also on 3.10
        typer.Option(
            "--engine",
            help="linux: litert (.tflite), executorch (.pte), or executorch-kernels (.pte with operators that are not "
            "delegated). android: tflite (.tflite). Default: all of it.",
            show_default=False,
        ),
    ] = None,
    tflite_lib: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--tflite-lib",
            help="android: your own TFLite library, a .so or an .aar with the TfLite C API. Default: TFLite 2.14.0.",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Build runners, the programs that answer on a device; what is built already is kept and not built again.

    There is no need to: whoever deploys a model builds what lacks. This does it beforehand, where the network is.

    Exit codes: 0 done · 2 no such ABI, flavour or engine · 4 a compiler or a runtime cannot be had.
    """
    with Output(json) as output:
        from edge.runner import building

        engines = [engine] if engine is not None else building.ENGINES.get(flavour, ("",))
        targets = [building.make_target(abi, flavour, name) for name in engines]
        built = [building.build(target, output, tflite_lib) for target in targets]
        output.result({"runners": [_document(runner) for runner in built]}, _table(built))


@app.command("list")
def list_runners(json: options.Json = False) -> None:
    """List the runners that are built, newest versions and older ones: ABI, engine, size, hash, place."""
    with Output(json) as output:
        from edge.runner import building

        built = building.list_built()
        text = (
            _table(built) if built else "none is built; deploying a model builds what it needs, as `runner build` does"
        )
        output.result({"runners": [_document(runner) for runner in built]}, text)


app.command("legacy")(legacy.legacy)


def _document(built: BuiltRunner) -> dict[str, Any]:
    from edge.runner.packages import native_package

    target = built.target
    return {
        "name": target.name,
        "abi": target.abi.name,
        "flavour": target.flavour,
        "engine": target.engine,
        "bytes": built.bytes,
        "sha256": native_package(built).digest,
        "page_bytes": built.page_bytes,
        "build_seconds": built.seconds,
        "made_of": built.made_of,
        "command": list(built.command),
        "folder": str(built.folder),
    }


def _table(built: list[BuiltRunner]) -> str:
    rows = [("NAME", "MB", "BUILT IN", "SHA-256", "FOLDER")]
    for runner in built:
        document = _document(runner)
        megabytes, seconds = f"{document['bytes'] / 1e6:.1f}", f"{runner.seconds:.1f} s"
        rows.append((document["name"], megabytes, seconds, document["sha256"][:16], document["folder"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
