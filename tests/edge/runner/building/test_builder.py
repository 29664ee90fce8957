"""The cache of built runners: built once, whole or absent, never another than was asked for."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.runner.building import builder, list_built, make_target, missing
from edge.runner.building.builder import build
from edge.runner.building.plan import Plan, sources_digest
from edge.runner.building.record import BuiltRunner
from edge.runner.building.targets import Target
from foundation.errors import ArtifactError, UsageError

from .fixtures_elf import link, own_abi

TARGET = make_target("x86_64", "linux", "litert")


class Workshop:
    """Stands for the compiler: counts what it makes, and can be told to fail."""

    def __init__(self, program: Path) -> None:
        self.program, self.made, self.fails = program, 0, False
        self.made_of = {"sources": "1", "compiler": "2"}

    def plan(self, target: Target) -> Plan:
        return Plan(target, dict(self.made_of), ("./runner",), lambda _: self.program, self._make)

    def _make(self, runtime: Path, folder: Path) -> None:
        self.made += 1
        (folder / "runner").write_bytes(runtime.read_bytes())
        if self.fails:
            raise ArtifactError("the compiler refuses")
        (folder / "runner").chmod(0o755)
        (folder / "lib").mkdir()
        (folder / "lib" / "libx.so").write_bytes(runtime.read_bytes())


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    own_abi()
    made = Workshop(link(tmp_path / "program.so", "int x;", "-nostdlib"))
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(builder, "plan_linux", made.plan)
    return made


@pytest.fixture
def built(workshop: Workshop) -> Iterator[BuiltRunner]:
    assert workshop.made == 0
    return build(TARGET)


def test_a_runner_is_built_once(workshop: Workshop, built: BuiltRunner) -> None:
    assert build(TARGET) == built
    assert workshop.made == 1
    assert list_built() == [built]
    assert {name: file.executable for name, file in built.files.items()} == {"runner": True, "lib/libx.so": False}
    assert (built.folder / "runner").stat().st_mode & 0o111 == 0o111


@pytest.mark.parametrize("ingredient", ["sources", "compiler"])
def test_another_ingredient_is_another_runner(workshop: Workshop, built: BuiltRunner, ingredient: str) -> None:
    workshop.made_of[ingredient] = "other"
    assert build(TARGET).folder != built.folder
    assert workshop.made == 2


@pytest.mark.parametrize("damage", ["garbled", "cut", "gone", "more", "not executable", "no record"])
def test_a_damaged_runner_is_built_again(workshop: Workshop, built: BuiltRunner, damage: str) -> None:
    runner = built.folder / "runner"
    content = bytearray(runner.read_bytes())
    if damage == "garbled":
        content[50] ^= 1
        runner.write_bytes(content)
    elif damage == "cut":
        runner.write_bytes(content[:-1])
    elif damage == "gone":
        (built.folder / "lib" / "libx.so").unlink()
    elif damage == "more":
        (built.folder / "lib" / "liby.so").write_bytes(b"")
    elif damage == "not executable":
        runner.chmod(0o644)
    else:
        (built.folder.parent / "record.json").write_text("{")
    assert list_built() == []
    again = build(TARGET)
    assert (again.files, again.folder) == (built.files, built.folder)
    assert workshop.made == 2
    assert list_built() == [again]


def test_a_failed_build_leaves_nothing_behind(workshop: Workshop, tmp_path: Path) -> None:
    workshop.fails = True
    with pytest.raises(ArtifactError, match="the compiler refuses"):
        build(TARGET)
    assert list_built() == []
    assert [path.name for path in (tmp_path / "cache" / "runners").iterdir()] == [".litert-linux-x86_64.lock"]
    workshop.fails = False
    assert build(TARGET).files


def test_old_runners_make_way(workshop: Workshop) -> None:
    for number in range(5):
        workshop.made_of["sources"] = str(number)
        newest = build(TARGET)
    assert len(list_built()) == 3
    assert newest in list_built()


def test_two_processes_build_once(tmp_path: Path) -> None:
    """The second comes while the first builds; it waits, and takes what the first has made."""
    own_abi()
    program = link(tmp_path / "program.so", "int x;", "-nostdlib")
    code = f"""
import contextlib, sys
from pathlib import Path
from edge.runner.building import builder, make_target
from edge.runner.building.plan import Plan

class Loud:
    @contextlib.contextmanager
    def task(self, description, total=None):
        print(description.split()[0], flush=True)
        yield lambda *_: None

def make(runtime, folder):
    sys.stdin.readline()
    (folder / "runner").write_bytes(runtime.read_bytes())

builder.plan_linux = lambda target: Plan(target, {{}}, ("./runner",), lambda _: Path({str(program)!r}), make)
print(builder.build(make_target("x86_64", "linux", "litert"), Loud()).folder, flush=True)
"""

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"EDGECAT_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
            cwd=Path(__file__).parents[4],
        )

    with begin() as first, contextlib.ExitStack() as stack:
        stack.callback(first.kill)
        assert first.stdout is not None
        assert first.stdout.readline() == "building\n"
        second = stack.enter_context(begin())
        stack.callback(second.kill)
        assert second.stdout is not None
        assert second.stdout.readline() == "another\n"
        made = first.communicate("go on\n", timeout=60)[0]
        assert second.communicate(timeout=60)[0] == made
        assert Path(made.strip(), "runner").is_file()


@pytest.mark.usefixtures("workshop")
def test_a_cache_that_cannot_be_written_says_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot write") as raised:
        build(TARGET)
    assert "EDGECAT_CACHE_DIR" in str(raised.value.hint)


def test_a_tflite_library_is_for_android_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="android flavour only"):
        build(TARGET, tflite_library=tmp_path)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("mips", "linux", "litert"), "no runner is built for ABI 'mips'"),
        (("x86_64", "windows", "litert"), "no runner flavour 'windows'"),
        (("x86_64", "linux", "tflite"), "the linux flavour has no engine 'tflite'"),
        (("x86_64", "android", "executorch"), "the android flavour has no engine 'executorch'"),
    ],
)
def test_what_is_no_target_is_wrong_usage(words: tuple[str, str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as raised:
        make_target(*words)
    assert raised.value.hint


def test_every_source_is_in_the_key() -> None:
    assert sources_digest() == sources_digest()
    assert len(sources_digest()) == 64


def test_what_is_missing_is_said_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "cache"))
    arm = missing("arm64-v8a", "linux")
    assert [(lack.what.split(",")[0], lack.hint) for lack in arm] == [
        ("aarch64-linux-gnu-g++", "apt-get install g++-aarch64-linux-gnu")
    ]
    android = missing("arm64-v8a", "android")
    assert any(lack.what.startswith("npm, to fetch TFLite") and "--tflite-lib" in lack.hint for lack in android)
    with pytest.raises(UsageError):
        missing("arm64-v8a", "windows")


def test_what_a_killed_process_left_is_cleared_away(workshop: Workshop, tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = tmp_path / "cache" / "runners" / f".{gone.pid}.0123abcd.partial"
    others = tmp_path / "cache" / "runners" / f".{os.getpid()}.0123abcd.partial"
    for folder in (left, others):
        folder.mkdir(parents=True)
    build(TARGET)
    assert not left.exists()
    assert others.exists(), "its process lives"
    assert workshop.made == 1
