"""`edgecat runner legacy`."""

from __future__ import annotations

from edgecat.cli import options
from edgecat.cli.output import Output


def legacy(json: options.Json = False) -> None:
    """Set up tflite-runtime 2.14, the last of TFLite's old packages, for --runtime tflite-legacy.

    It is built for numpy 1, so it gets a directory of its own in the cache, by pip; 85 MB. Once is enough.
    """
    with Output(json) as output:
        from edge.runner import legacy as older

        place = older.set_up(output)
        document = {"runtime": older.RUNTIME, "version": older.VERSION, "packages": str(place)}
        output.result(document, f"tflite-runtime {older.VERSION}: {place}\nanswers with --runtime {older.RUNTIME}")
