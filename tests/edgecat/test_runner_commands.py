"""`edgecat runner build` and `list`, as a user meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.runner.building import ABIS, missing
from edge.runner.building.toolchain import zig_version

from .command_line import CommandLine


@pytest.fixture(scope="module")
def own() -> str:
    """The ABI of this machine, for which a runner can be built."""
    abi = next((abi.name for abi in ABIS.values() if abi.is_ours), None)
    lacks = missing(abi, "linux", "litert") if abi else []
    if abi is None or lacks:
        pytest.skip(f"no runner can be built here: {lacks}")
    return abi


def test_a_runner_is_built_and_listed(edgecat: CommandLine, own: str, tmp_path: Path) -> None:
    cache = {"EDGECAT_CACHE_DIR": str(tmp_path)}
    words = ("runner", "build", "--abi", own, "--engine", "litert", "--json")
    (built,) = edgecat(*words, **cache).document()["runners"]
    assert (built["name"], built["abi"], built["flavour"], built["engine"]) == (
        f"litert-linux-{own}",
        own,
        "linux",
        "litert",
    )
    assert built["bytes"] <= 16_000_000
    assert (Path(built["folder"]) / "runner").is_file()
    assert len(built["sha256"]) == 64
    assert built["made_of"]["ai-edge-litert"] == "2.3.0"
    assert edgecat(*words, **cache).document()["runners"] == [built], "kept, not built again"
    assert edgecat("runner", "list", "--json", **cache).document()["runners"] == [built]
    table = edgecat("runner", "list", **cache).stdout
    assert f"litert-linux-{own}" in table
    assert built["sha256"][:16] in table


def test_an_empty_cache_is_no_error(edgecat: CommandLine, tmp_path: Path) -> None:
    told = edgecat("runner", "list", EDGECAT_CACHE_DIR=str(tmp_path))
    assert (told.code, told.stderr) == (0, "")
    assert "runner build" in told.stdout
    assert edgecat("runner", "list", "--json", EDGECAT_CACHE_DIR=str(tmp_path)).document() == {"runners": []}


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "--abi"),
        (("--abi", "mips"), "no runner is built for ABI 'mips'"),
        (("--abi", "x86_64", "--flavour", "windows"), "no runner flavour 'windows'"),
        (("--abi", "x86_64", "--engine", "tflite"), "the linux flavour has no engine 'tflite'"),
        (("--abi", "x86_64", "--tflite-lib", "x.so"), "android flavour only"),
    ],
)
def test_wrong_usage_ends_with_2(edgecat: CommandLine, words: tuple[str, ...], reason: str, tmp_path: Path) -> None:
    assert reason in edgecat("runner", "build", *words, EDGECAT_CACHE_DIR=str(tmp_path)).refusal(2)


def test_without_a_compiler_it_ends_with_4_and_says_what_to_install(edgecat: CommandLine, tmp_path: Path) -> None:
    told = edgecat("runner", "build", "--abi", "arm64-v8a", EDGECAT_CACHE_DIR=str(tmp_path), PATH=str(tmp_path))
    assert "apt-get install g++" in told.refusal(4)


def test_a_library_that_is_none_ends_with_4(edgecat: CommandLine, tmp_path: Path) -> None:
    if zig_version() is None:
        pytest.skip("no zig: pip install 'edgecat[android]'")
    library = tmp_path / "notes.aar"
    library.write_text("no library")
    words = ("--abi", "x86_64", "--flavour", "android", "--tflite-lib", library)
    assert "notes.aar is no whole ELF file" in edgecat("runner", "build", *words).refusal(4)


def test_the_help_says_what_each_flavour_wants(edgecat: CommandLine) -> None:
    told = " ".join(edgecat("runner", "build", "--help").stdout.split())
    for word in ("edgecat[android]", "arm64-v8a (phones)", "glibc", "--tflite-lib", "Exit codes"):
        assert word in told
