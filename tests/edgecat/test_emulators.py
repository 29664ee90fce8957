"""`edgecat emulator` with the devices that run Android's own adbd."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from edge.devices import isolated
from foundation.cache import cache_directory

from .command_line import CommandLine, Ended

pytestmark = pytest.mark.device


class Kept:
    """The command line with the cache of the user, or of CI: what is fetched once stays there."""

    def __init__(self, edgecat: CommandLine) -> None:
        self._call = partial(edgecat, EDGECAT_CACHE_DIR=str(cache_directory().resolve()))

    def __call__(self, *words: object) -> Ended:
        return self._call(*words)


@pytest.fixture(scope="module")
def kept(edgecat: CommandLine) -> Kept:
    reasons = isolated.missing("sandbox:x86_64")
    if reasons:
        pytest.skip("; ".join(reasons))
    return Kept(edgecat)


def test_a_sandbox_is_built_started_reached_listed_and_stopped(kept: Kept) -> None:
    assert kept("emulator", "build", "sandbox:x86_64", "--json").document() == {"built": "sandbox:x86_64"}
    words = ["emulator", "start", "sandbox:x86_64", "--name", "box", "--port", 0, "--data-size", "16M"]
    started = kept(*words, "--json").document()
    try:
        assert started["device"] == "sandbox:x86_64"
        assert started["key"] is None
        assert started in kept("emulator", "list", "--json").document()["emulators"]
        told = kept(*words).stdout
        assert f"adb connect {started['address']}" in told
        assert "no key" in told
        assert "runs already, as it was started" in kept(*words).stderr
        listed = {one["spec"]: one for one in kept("devices", "--json").document()["devices"]}
        assert listed["emulator:box"]["kind"] == "emulated"
        assert listed["sandbox:x86_64"]["state"] == "ready"
        assert "runs already" in kept("emulator", "start", "embedded", "--name", "box").refusal(2)
    finally:
        assert kept("emulator", "stop", "--name", "box").code == 0
    assert not Path(started["socket"]).exists()


@pytest.mark.adb_client
def test_the_real_adb_reaches_a_sandbox_by_its_port(kept: Kept, edgecat: CommandLine) -> None:
    adb = shutil.which("adb")
    if adb is None:
        pytest.skip("no adb client (apt-get install adb)")
    started = kept("emulator", "start", "sandbox:x86_64", "--port", 0, "--json").document()
    environment = os.environ | edgecat.environment

    def run(*words: str) -> str:
        done = subprocess.run([adb, *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout

    try:
        assert "connected to" in run("connect", started["address"])
        assert run("-s", started["address"], "shell", "getprop edgecat.kind") == "sandbox\n"
    finally:
        run("kill-server")
        kept("emulator", "stop", started["device"])


@pytest.mark.parametrize("size", ["0", "lots", "-1M", "1T"])
def test_a_size_that_is_none_is_refused(kept: Kept, size: str) -> None:
    assert "is no size" in kept("emulator", "start", "sandbox:x86_64", "--data-size", size).refusal(2)


def test_a_device_that_there_is_not_is_refused(kept: Kept) -> None:
    for words in (["start", "sandbox:mips"], ["build", "vm:x86_64"]):
        assert "use embedded, sandbox:x86_64" in kept("emulator", *words).refusal(2)


def test_the_embedded_device_needs_no_build(edgecat: CommandLine) -> None:
    assert edgecat("emulator", "build", "embedded", "--json").document() == {"built": "embedded"}


def test_help_says_that_a_port_asks_for_no_key(edgecat: CommandLine) -> None:
    told = " ".join(edgecat("emulator", "start", "--help").stdout.split())
    assert "demands no key" in told.replace("│ │", " ")


def test_the_list_is_json_on_stdout_alone(kept: Kept) -> None:
    assert json.loads(kept("emulator", "list", "--json").stdout)["emulators"] is not None
