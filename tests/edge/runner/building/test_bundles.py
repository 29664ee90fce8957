"""The bundles as they are built from the real wheels: what they hold, and that they need nothing else.

They stand in the user's (or CI's) cache. Where a compiler or a wheel cannot be had, the reason is in the skip.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edge.runner.building import ABIS, BuiltRunner, build, make_target, missing
from edge.runner.building.elf import read_elf
from edge.runner.messages import parse_answer, query_payload
from edge.runner.wire import Frame, Kind
from foundation.answers import AnswerPolicy

from ..runner_process import RunnerKind, RunnerProcess

if TYPE_CHECKING:
    from export.exporting import Exported

# With ExecuTorch's kernels a bundle is larger; it travels only for a program that asks for them.
LIMITS = {"litert": 16_000_000, "executorch": 16_000_000, "executorch-kernels": 20_000_000}
RECIPES = {"litert": "tflite_int8", "executorch": "executorch_int8", "executorch-kernels": "executorch_portable"}
BUNDLES = [(engine, abi) for abi in ABIS for engine in LIMITS]
# A phone's processor as its kernel shows it. LiteRT and ExecuTorch read these to size their thread pools.
CORE = """processor\t: {}
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""


@functools.cache
def built(engine: str, abi: str) -> BuiltRunner:
    lacks = missing(abi, "linux", engine, ask=True)
    if lacks:
        pytest.skip("; ".join(f"{lack.what}: {lack.hint}" for lack in lacks))
    return build(make_target(abi, "linux", engine))


@pytest.fixture(params=BUNDLES, ids="-".join)
def bundle(request: pytest.FixtureRequest) -> BuiltRunner:
    return built(*request.param)


def test_a_bundle_is_at_most_16_megabytes_or_20_with_kernels(bundle: BuiltRunner) -> None:
    assert 1_000_000 < bundle.bytes <= LIMITS[bundle.target.engine]


def test_a_bundle_was_built_in_less_than_a_minute(bundle: BuiltRunner) -> None:
    assert bundle.seconds <= 60


def test_a_bundle_holds_exactly_what_its_files_need(bundle: BuiltRunner) -> None:
    elves = {name.removeprefix("lib/"): read_elf(bundle.folder / name) for name in bundle.files}
    needed = {name for elf in elves.values() for name in elf.needed}
    assert set(elves) == needed | {"runner", bundle.target.abi.loader}
    assert bundle.command[0] == f"./lib/{bundle.target.abi.loader}"


def test_every_symbol_that_a_bundle_needs_is_in_it(bundle: BuiltRunner) -> None:
    elves = [read_elf(bundle.folder / name) for name in bundle.files]
    assert frozenset().union(*(elf.undefined for elf in elves)) <= frozenset().union(*(elf.defined for elf in elves))


def test_every_file_is_for_its_processor_and_loads_under_its_largest_pages(bundle: BuiltRunner) -> None:
    abi = bundle.target.abi
    elves = [read_elf(bundle.folder / name) for name in bundle.files]
    assert {elf.machine for elf in elves} == {abi.elf_machine}
    assert min(elf.alignment for elf in elves) == bundle.page_bytes == {"arm64-v8a": 65536, "x86_64": 4096}[abi.name]


def test_the_program_and_the_loader_can_be_executed(bundle: BuiltRunner) -> None:
    executable = {name for name, file in bundle.files.items() if file.executable}
    assert executable == {"runner", f"lib/{bundle.target.abi.loader}"}


@pytest.fixture
def words(bundle: BuiltRunner, tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Words that start the bundle in an empty root: nothing is there but the bundle and what a kernel shows.

    A foreign processor is emulated; the emulator is linked statically and brings nothing that the bundle could use.
    """
    root = tmp_path / "root"
    shutil.copytree(bundle.folder, root)
    (root / "proc").mkdir()
    command = bundle.command
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    if bundle.target.abi.is_ours:
        isolated.append("--mount-proc")
    elif bundle.target.abi.name != "arm64-v8a":
        pytest.skip("only arm64 is emulated")
    else:
        emulator = shutil.which("qemu-aarch64-static")
        if emulator is None:
            pytest.skip("no qemu-aarch64-static: apt-get install qemu-user-static")
        shutil.copyfile(emulator, root / "emulator")
        (root / "emulator").chmod(0o755)
        (root / "proc/cpuinfo").write_text("".join(CORE.format(core) for core in range(4)))
        (root / "sys/devices/system/cpu").mkdir(parents=True)
        for name in ("possible", "present"):
            (root / "sys/devices/system/cpu" / name).write_text("0-3\n")
        command = ("./emulator", "-cpu", "cortex-a72", *command)
    try:
        subprocess.run([*isolated, "true"], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no user namespaces for the empty root: {error}")
    yield (*isolated, f"--root={root}", "--wd=/", *command)
    shutil.rmtree(root)


@pytest.mark.export
def test_a_bundle_answers_in_a_root_that_holds_nothing_else(
    bundle: BuiltRunner, words: tuple[str, ...], exported: Callable[[str, int], Exported], tmp_path: Path
) -> None:
    from export.parity import runtime_logits

    artifact = exported(RECIPES[bundle.target.engine], 1).artifact
    shutil.copyfile(artifact.path, tmp_path / "root" / "model")
    images = np.random.default_rng(0).integers(0, 256, (64, *artifact.manifest.image.shape), dtype=np.uint8)
    kind = RunnerKind("bundle", words, (artifact.manifest.runtime,))
    with RunnerProcess(kind, artifact, tmp_path, model="/model") as process:
        assert process.hello().model_sha256 == artifact.manifest.sha256
        process.send(Frame(Kind.QUERY, 7, query_payload(images)))
        frame = process.receive()
        assert (frame.kind, frame.sequence) == (Kind.ANSWER, 7)
        answers = parse_answer(frame.payload, AnswerPolicy("label"), len(artifact.manifest.class_names))
        np.testing.assert_array_equal(answers.top1(), runtime_logits(artifact, images).argmax(1))
        process.close_stdin()
        assert process.end() == 0


@pytest.mark.export
def test_without_one_of_its_libraries_a_bundle_does_not_start(
    bundle: BuiltRunner, words: tuple[str, ...], exported: Callable[[str, int], Exported], tmp_path: Path
) -> None:
    """That the root is empty indeed: nothing stands in for a library that is taken away."""
    artifact = exported(RECIPES[bundle.target.engine], 1).artifact
    shutil.copyfile(artifact.path, tmp_path / "root" / "model")
    (tmp_path / "root" / "lib" / "libm.so.6").unlink()
    kind = RunnerKind("bundle", words, (artifact.manifest.runtime,))
    with (
        RunnerProcess(kind, artifact, tmp_path, model="/model") as process,
        pytest.raises(EOFError, match=r"libm\.so\.6"),
    ):
        process.hello()
