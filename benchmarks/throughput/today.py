"""The road people take today: for each image push a file, run a program by a shell command, pull the answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from benchmarks.throughput.clients import Client
from edge.deployment import push_artifact, push_runner, runner_words, shell_command
from edge.devices.opening import OpenDevice
from edge.runner.messages import parse_answer, query_payload
from edge.runner.packages import choose_runner
from edge.runner.wire import Frame, Kind, encode, read_frame
from foundation.answers import AnswerPolicy
from foundation.manifest import Artifact

_LABEL = AnswerPolicy("label")
_QUESTION, _ANSWER = "/data/local/tmp/today.in", "/data/local/tmp/today.out"


def program(device: OpenDevice, artifact: Artifact) -> str:
    """Bring model and native runner to the device; the shell command that answers one file."""
    manifest = artifact.manifest
    remote = push_artifact(device, artifact)
    package = choose_runner(manifest.runtime, device.info.abi, device.info.bionic, preferred="native")
    words = runner_words(manifest, _LABEL, remote)
    return f"({shell_command(push_runner(device, package), package, words)}) < {_QUESTION} > {_ANSWER}"


def one_by_one(
    client: Client, command: str, images: NDArray[np.uint8], labels: NDArray[np.int64], classes: int, folder: Path
) -> dict[str, JsonValue]:
    """Ask about each image by three adb commands; each label must be the one that is known.

    Args:
        client: whose adb.
        command: see `program`.
        images: uint8 [N, H, W, C].
        labels: int64 [N], of the same model.
        classes: how many it knows.
        folder: for the files on this side.
    """
    question, answer = folder / "today.in", folder / "today.out"
    equal = 0
    seconds = []
    for image, label in zip(images, labels, strict=True):
        start = time.perf_counter()
        question.write_bytes(encode(Frame(Kind.QUERY, 1, query_payload(image[None]))) + encode(Frame(Kind.BYE, 2, b"")))
        client.push(question, _QUESTION)
        client.shell(command)
        client.pull(_ANSWER, answer)
        equal += _label(answer.read_bytes(), classes) == label
        seconds.append(time.perf_counter() - start)
    return {
        "images": len(images),
        "labels_equal": int(equal),
        "seconds": list[JsonValue](seconds),
        "per_second": len(images) / sum(seconds),
    }


def _label(said: bytes, classes: int) -> int:
    read = _reader(said)
    if read_frame(read).kind != Kind.HELLO:
        raise ValueError("the program said no hello")
    return int(parse_answer(read_frame(read).payload, _LABEL, classes).top1()[0])


def _reader(data: bytes) -> Callable[[int], bytes]:
    rest = memoryview(data)

    def read(size: int) -> bytes:
        nonlocal rest
        piece, rest = bytes(rest[:size]), rest[size:]
        if len(piece) < size:
            raise ValueError("the program's answer is cut short")
        return piece

    return read
