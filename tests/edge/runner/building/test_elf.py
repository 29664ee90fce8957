"""Facts of ELF files, and what a program needs in all."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.runner.building.elf import closure, read_elf
from foundation.errors import ArtifactError

from .fixtures_elf import link, own_abi


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return link(tmp_path / "libinner.so", "int inner(void) { return 1; }", "-Wl,-soname,libinner.so")


@pytest.fixture
def program(tmp_path: Path, library: Path) -> Path:
    source = "int inner(void); int outside(void) __attribute__((weak)); int main(void) { return inner(); }"
    words = ("-pie", "-Wl,-rpath,$ORIGIN/lib", "-Wl,--enable-new-dtags", "-Wl,-z,max-page-size=16384", str(library))
    return link(tmp_path / "program", source, *words)


def test_a_programs_facts_are_read(program: Path) -> None:
    elf = read_elf(program)
    assert (elf.machine, elf.kind) == (own_abi().elf_machine, "ET_DYN")
    assert Path(elf.interpreter or "").name == own_abi().loader
    assert elf.needed == ("libinner.so", "libc.so.6")
    assert (elf.runpath, elf.soname) == ("$ORIGIN/lib", None)
    assert elf.alignment == 16384
    assert "inner" in elf.undefined
    assert "outside" not in elf.undefined, "weak symbols need not be had"


def test_a_librarys_facts_are_read(tmp_path: Path) -> None:
    path = link(tmp_path / "lib.so", "__thread int mine; int *get(void) { return &mine; }", "-Wl,-soname,libx.so")
    elf = read_elf(path)
    assert (elf.soname, elf.interpreter, elf.has_tls) == ("libx.so", None, True)
    assert "get" in elf.defined


def test_no_thread_local_segment_where_there_is_no_variable(library: Path) -> None:
    assert not read_elf(library).has_tls


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\0" * 4096])
def test_what_is_no_elf_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"x\.so is no whole ELF file") as raised:
        read_elf(path)
    assert "\n" not in raised.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot read"):
        read_elf(tmp_path / "nothing")


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_garbled_file_gives_facts_or_an_artifact_error(data: st.DataObject, library: Path, tmp_path: Path) -> None:
    content = bytearray(library.read_bytes())
    # The headers are where a wrong number leads astray.
    places = st.one_of(st.integers(0, 0x200), st.integers(0, len(content) - 1))
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "garbled.so"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(ArtifactError):
        read_elf(path)


def test_the_closure_holds_what_libraries_need_in_turn_and_the_loader(tmp_path: Path, library: Path) -> None:
    link(tmp_path / "libouter.so", "int inner(void); int outer(void) { return inner(); }", str(library))
    program = link(
        tmp_path / "p",
        "int outer(void); int main(void) { return outer(); }",
        "-pie",
        str(tmp_path / "libouter.so"),
        f"-Wl,-rpath-link,{tmp_path}",
    )
    known = {"libinner.so": library, str(tmp_path / "libouter.so"): tmp_path / "libouter.so"}
    found = closure(program, lambda name: known.get(name) or _system(name))
    assert set(found) == {*known, "libc.so.6", own_abi().loader}


def test_a_library_that_cannot_be_found_is_named(program: Path) -> None:
    with pytest.raises(ArtifactError, match=r"program needs libinner\.so"):
        closure(program, lambda _: None)


def test_a_library_that_is_too_old_is_named(tmp_path: Path) -> None:
    script = tmp_path / "versions"
    script.write_text("NEW_2.0 { global: inner; };")
    words = ("-Wl,-soname,libinner.so", f"-Wl,--version-script={script}")
    new = link(tmp_path / "libinner.so", "int inner(void) { return 1; }", *words)
    program = link(tmp_path / "program", "int inner(void); int main(void) { return inner(); }", "-pie", str(new))
    script.write_text("OLD_1.0 { global: inner; };")
    old = link(tmp_path / "old.so", "int inner(void) { return 1; }", *words)
    assert closure(program, lambda name: new if name == "libinner.so" else _system(name))["libinner.so"] == new
    with pytest.raises(ArtifactError, match=r"program needs NEW_2\.0 of libinner\.so") as raised:
        closure(program, lambda name: old if name == "libinner.so" else _system(name))
    assert raised.value.hint


def _system(name: str) -> Path | None:
    from edge.runner.building.toolchain import system_library

    return system_library("gcc", name)
