"""What is pushed to a device, and which runner it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.runner import building
from edge.runner.building import ABIS, BuiltRunner, Target
from edge.runner.building.record import BuiltFile
from edge.runner.packages import RunnerPackage, choose_runner, native_package, python_package
from foundation.errors import ArtifactError, UsageError

PACKAGE = RunnerPackage(
    name="python",
    runtimes=("tflite",),
    abi=None,
    files={"runner": b"program", "lib/a": b"library"},
    executable=frozenset({"runner"}),
    command=("./runner",),
)


class Workshop:
    """Stands for `building.build`: says what was asked for, and may lack the means for some."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, list[str]()
        self.lacks = set[str]()
        (folder / "runner").write_bytes(b"program")

    def build(self, target: Target, progress: object) -> BuiltRunner:
        del progress
        self.asked.append(target.name)
        if target.flavour in self.lacks or "everything" in self.lacks:
            raise ArtifactError(f"no compiler for {target.flavour}", hint="apt-get install it")
        pages = 4096 if target.flavour == "android" else 65536
        files = {"runner": BuiltFile(7, "0" * 64, True)}
        return BuiltRunner(target, "0" * 64, {}, ("./runner",), 1.0, pages, files, self.folder)


class Listener:
    """A progress that keeps what it is told."""

    def __init__(self) -> None:
        self.said = list[str]()

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[object]:
        del description, total
        yield lambda *_: None

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path)
    monkeypatch.setattr(building, "build", made.build)
    return made


@pytest.mark.parametrize("abi", ABIS)
@pytest.mark.parametrize(
    ("runtime", "android", "name"),
    [
        ("tflite", True, "tflite-android"),
        ("tflite", False, "litert-linux"),
        ("executorch", True, "executorch-linux"),
        ("executorch", False, "executorch-linux"),
    ],
)
def test_each_model_and_device_gets_its_runner(
    workshop: Workshop, abi: str, runtime: str, android: bool, name: str
) -> None:
    package = choose_runner(runtime, abi, android)
    assert (package.name, package.abi, package.runtimes) == (f"{name}-{abi}", abi, (runtime,))
    assert workshop.asked == [package.name], "nothing else is built"


@pytest.mark.parametrize("preferred", [None, "auto", "native"])
def test_the_runner_with_executorch_s_kernels_is_taken_where_they_are_wanted(
    workshop: Workshop, preferred: str | None
) -> None:
    package = choose_runner("executorch", "arm64-v8a", True, preferred=preferred, kernels=True)
    assert (package.name, package.runtimes) == ("executorch-kernels-linux-arm64-v8a", ("executorch",))
    assert workshop.asked == [package.name]


@pytest.mark.usefixtures("workshop")
def test_a_runner_that_was_named_stays_the_one_with_or_without_kernels() -> None:
    for name in ("executorch-linux", "executorch-kernels-linux"):
        for kernels in (False, True):
            package = choose_runner("executorch", "x86_64", False, preferred=name, kernels=kernels)
            assert package.name == f"{name}-x86_64"


def test_without_zig_a_phone_gets_the_bundle_with_a_glibc_of_its_own_and_the_reason_is_said(workshop: Workshop) -> None:
    workshop.lacks = {"android"}
    listener = Listener()
    assert choose_runner("tflite", "arm64-v8a", True, progress=listener).name == "litert-linux-arm64-v8a"
    assert listener.said == ["litert-linux-arm64-v8a answers: no compiler for android (hint: apt-get install it)"]


@pytest.mark.usefixtures("workshop")
def test_a_phone_with_large_pages_gets_the_bundle() -> None:
    listener = Listener()
    package = choose_runner("tflite", "arm64-v8a", True, page_bytes=16384, progress=listener)
    assert package.name == "litert-linux-arm64-v8a"
    assert "the device has 16384" in listener.said[0]
    with pytest.raises(ArtifactError, match="the device has 16384"):
        choose_runner("tflite", "arm64-v8a", True, page_bytes=16384, preferred="tflite-android")


def test_without_a_compiler_the_python_runner_answers_and_the_reason_is_said(workshop: Workshop) -> None:
    workshop.lacks = {"everything"}
    listener = Listener()
    assert choose_runner("executorch", "x86_64", False, progress=listener).name == "python"
    assert listener.said == ["the Python runner answers: no compiler for linux (hint: apt-get install it)"]


@pytest.mark.parametrize(("runtime", "abi"), [("tflite-legacy", "x86_64"), ("tflite", "armeabi-v7a")])
def test_where_no_native_runner_exists_the_python_runner_answers(workshop: Workshop, runtime: str, abi: str) -> None:
    assert choose_runner(runtime, abi, False).name == "python"
    assert workshop.asked == []


def test_python_can_be_asked_for(workshop: Workshop) -> None:
    assert choose_runner("tflite", "x86_64", False, preferred="python") == python_package()
    assert workshop.asked == []


@pytest.mark.parametrize("name", ["litert-linux", "litert-linux-arm64-v8a"])
@pytest.mark.usefixtures("workshop")
def test_a_runner_can_be_asked_for_by_name(name: str) -> None:
    assert choose_runner("tflite", "arm64-v8a", True, preferred=name).name == "litert-linux-arm64-v8a"


def test_a_runner_that_was_asked_for_is_never_replaced_by_python(workshop: Workshop) -> None:
    workshop.lacks = {"everything"}
    for preferred in ("native", "litert-linux"):
        with pytest.raises(ArtifactError, match="no compiler for linux"):
            choose_runner("tflite", "x86_64", False, preferred=preferred)


@pytest.mark.parametrize(
    ("runtime", "abi", "preferred"),
    [
        ("tflite", "x86_64", "executorch-linux"),
        ("tflite", "x86_64", "litert-linux-arm64-v8a"),
        ("tflite", "x86_64", "tflite-android"),
        ("tflite", "x86_64", "nonsense"),
        ("tflite-legacy", "x86_64", "native"),
        ("tflite", "armeabi-v7a", "native"),
    ],
)
@pytest.mark.usefixtures("workshop")
def test_a_runner_that_cannot_run_the_model_there_is_wrong_usage(runtime: str, abi: str, preferred: str) -> None:
    with pytest.raises(UsageError, match=f"no native runner for {runtime} on {abi}"):
        choose_runner(runtime, abi, False, preferred=preferred)


def test_a_built_runner_becomes_a_package(workshop: Workshop) -> None:
    package = native_package(workshop.build(building.make_target("x86_64", "linux", "litert"), None))
    assert (package.command, package.executable, package.bytes) == (("./runner",), frozenset({"runner"}), 7)
    assert package.files == {"runner": workshop.folder / "runner"}


def test_the_digest_is_that_of_names_modes_and_contents(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"program")
    same = replace(PACKAGE, files={"lib/a": b"library", "runner": tmp_path / "program"})
    assert same.digest == PACKAGE.digest
    others = [
        replace(PACKAGE, files={"runner": b"program", "lib/b": b"library"}),
        replace(PACKAGE, files={"runner": b"program", "lib/a": b"Library"}),
        replace(PACKAGE, files={"runner": b"program"}),
        replace(PACKAGE, executable=frozenset()),
    ]
    assert len({PACKAGE.digest, *(other.digest for other in others)}) == 5
    assert len(PACKAGE.digest) == 64


def test_the_python_runner_is_one_file_for_any_processor() -> None:
    package = python_package()
    assert (package.command, package.abi, list(package.files)) == (("python3", "runner.pyz"), None, ["runner.pyz"])
    assert package.digest == python_package().digest
