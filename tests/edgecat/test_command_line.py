"""Help that teaches, one result on stdout, one line for wrong usage, and nothing heavy loaded for small questions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgecat.cli.output import Output

from .command_line import CommandLine, Ended

pytestmark = pytest.mark.timeout(60)

COMMANDS = ["run", "devices", "doctor", "train", "export", "inspect", "push"]
COMMANDS += ["query", "attack", "bench", "report", "data", "emulator"]
SUBCOMMANDS = [("data", "show"), ("emulator", "build"), ("emulator", "start")]
SUBCOMMANDS += [("emulator", "stop"), ("emulator", "list")]
SUBCOMMANDS += [("runner", "build"), ("runner", "list"), ("runner", "legacy")]


def loaded(ended: Ended) -> set[str]:
    """Top-level packages that were imported, from what `-X importtime` prints."""
    lines = [line for line in ended.stderr.splitlines() if line.startswith("import time:")]
    assert lines
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_names_every_command_and_every_exit_code(edgecat: CommandLine) -> None:
    ended = edgecat("--help")
    assert (ended.code, ended.stderr) == (0, "")
    listed = [line.split()[0] for line in ended.stdout.partition("Commands:")[2].splitlines() if line.strip()]
    assert set(COMMANDS) <= set(listed)
    for code in ("0 done", "1 a check failed", "2 wrong usage", "3 device", "4 artefact", "5 budget", "130"):
        assert code in ended.stdout


@pytest.mark.parametrize("words", [*((name,) for name in COMMANDS), *SUBCOMMANDS], ids=" ".join)
def test_every_command_explains_itself_and_each_of_its_options(edgecat: CommandLine, words: tuple[str, ...]) -> None:
    ended = edgecat(*words, "--help", COLUMNS="200")
    assert (ended.code, ended.stderr) == (0, "")
    explained, _, options = ended.stdout.partition("Options:")
    assert len(explained.split()) > 8
    # What an option is called, its kind, then at least two spaces, then what it does.
    unexplained = [line for line in options.splitlines() if line.startswith("  -") and "  " not in line.strip()]
    assert not unexplained


@pytest.mark.parametrize("words", [("--help",), ("doctor", "--help"), ("run", "--help")], ids=" ".join)
def test_help_loads_neither_torch_nor_numpy(edgecat: CommandLine, words: tuple[str, ...]) -> None:
    ended = edgecat(*words, python=("-X", "importtime"))
    assert ended.code == 0
    assert not loaded(ended) & {"torch", "numpy", "executorch", "ai_edge_litert"}


def test_listing_devices_loads_no_torch(edgecat: CommandLine) -> None:
    ended = edgecat("devices", "--json", python=("-X", "importtime"))
    assert "torch" not in loaded(ended)
    assert ended.document()["devices"][0]["spec"] == "embedded"


def test_devices_lists_the_embedded_one_and_says_that_no_adb_server_runs(edgecat: CommandLine) -> None:
    document = edgecat("devices", "--json").document()
    assert document["devices"][0].items() >= {"spec": "embedded", "kind": "embedded", "state": "ready"}.items()
    assert "no adb server" in document["note"]
    table = edgecat("devices").stdout.splitlines()
    assert table[0].split() == ["SPEC", "KIND", "STATE", "ABI", "ANDROID", "MODEL"]
    assert table[1].startswith("embedded ")


@pytest.mark.device
def test_doctor_tells_what_is_needed_and_whether_it_is_there(edgecat: CommandLine) -> None:
    ended = edgecat("doctor", "--json")
    checks = {check["name"]: check for check in ended.document()["checks"]}
    assert checks["embedded device"]["ok"]
    assert checks["torch"]["ok"]
    assert not checks["adb server"]["ok"]
    assert not checks["adb server"]["needed"]


@pytest.mark.device
def test_doctor_ends_with_1_where_a_pinned_package_has_another_version(edgecat: CommandLine, tmp_path: Path) -> None:
    described = tmp_path / "torchao-0.0.1.dist-info" / "METADATA"
    described.parent.mkdir()
    described.write_text("Metadata-Version: 2.1\nName: torchao\nVersion: 0.0.1\n")
    ended = edgecat("doctor", PYTHONPATH=str(tmp_path))
    assert (ended.code, ended.stderr) == (1, "")
    assert "missing torchao: 0.0.1  → pip install torchao==" in ended.stdout


@pytest.mark.device
def test_doctor_answers_on_a_machine_where_other_commands_cannot(edgecat: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    changes = {"EDGECAT_STATE_DIR": str(tmp_path / "file" / "below"), "ANDROID_ADB_SERVER_PORT": "none"}
    assert "EDGECAT_STATE_DIR" in edgecat("devices", **changes).refusal(2)
    checks = {check["name"]: check for check in edgecat("doctor", "--json", **changes).document()["checks"]}
    assert "is no port" in checks["adb server"]["found"]


def test_the_version_is_one_line(edgecat: CommandLine) -> None:
    from edgecat import __version__

    assert edgecat("--version").stdout == f"edgecat {__version__}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("nonsense", "No such command 'nonsense'"),
        ("run --nonsense", "No such option: --nonsense"),
        ("run --seeds none", "--seeds"),
        ("run --seeds 0", "--seeds"),
        ("push", "Missing argument"),
        ("attack model.tflite", "--out"),
        ("bench model.tflite --min-runs 0", "--min-runs"),
        ("data", "show"),
    ],
)
def test_wrong_usage_ends_with_2_and_points_to_the_help(edgecat: CommandLine, words: str, said: str) -> None:
    ended = edgecat(*words.split())
    if words == "data":
        assert ended.code == 2
        assert said in ended.stderr
        return
    told = ended.refusal(2)
    assert said in told
    assert "--help" in told


@pytest.mark.parametrize("words", ["devices --json", "emulator list"])
def test_a_reader_that_has_seen_enough_does_no_harm(edgecat: CommandLine, words: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "edgecat", *words.split()],
        cwd=edgecat.directory,
        env=edgecat.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=50,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_message_is_shown_letter_for_letter(capfd: pytest.CaptureFixture[str]) -> None:
    with Output(as_json=False) as output:
        output.say("emulator:phone: [bold]warm[/bold]")
        output.result({}, "done")
    assert capfd.readouterr() == ("done\n", "emulator:phone: [bold]warm[/bold]\n")
