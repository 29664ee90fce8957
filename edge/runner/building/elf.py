"""What an ELF file says of itself: enough to know before the push whether a device can load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerNeedSection
from elftools.elf.sections import SymbolTableSection
from elftools.elf.segments import InterpSegment

from foundation.errors import ArtifactError

# Size of a 64-bit section header.
_SECTION_HEADER = 64


@dataclass(frozen=True)
class Elf:
    """The facts of one 64-bit ELF file.

    Attributes:
        machine: `e_machine`, for example "EM_AARCH64".
        kind: `e_type`: "ET_DYN" for libraries and position-independent executables.
        interpreter: the loader that it asks for; None in libraries.
        soname: the name it goes by as a library.
        needed: libraries that it asks for, in order.
        runpath: where it looks for them; None if it does not say.
        alignment: the smallest alignment of its LOAD segments, in bytes. A kernel whose pages are larger refuses it.
        has_tls: whether it has a segment of thread-local variables.
        undefined: symbols that must come from elsewhere; weak ones are not among them.
        defined: symbols that it offers.
        versions_needed: symbol versions that it asks of each library.
        versions_defined: symbol versions that it offers.
    """

    machine: str
    kind: str
    interpreter: str | None
    soname: str | None
    needed: tuple[str, ...]
    runpath: str | None
    alignment: int
    has_tls: bool
    undefined: frozenset[str]
    defined: frozenset[str]
    versions_needed: dict[str, frozenset[str]]
    versions_defined: frozenset[str]


def read_elf(path: Path, name: str | None = None) -> Elf:
    """Read an ELF file's headers and dynamic symbols.

    Args:
        path: the file.
        name: what to call it where it is faulty; its path if None.

    Raises:
        ArtifactError: it is none, or torn, or cannot be read.
    """
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            _check_sizes(elf, path.stat().st_size)
            return _facts(elf)
    except (ELFError, ValueError, KeyError, AttributeError, AssertionError) as error:
        raise ArtifactError(f"{name or path} is no whole ELF file: {error or type(error).__name__}") from error
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error


def closure(executable: Path, find: Callable[[str], Path | None]) -> dict[str, Path]:
    """Every library that an executable needs, and they need in turn, and its loader.

    Args:
        executable: where to begin.
        find: gives the file of a library's name, or None.

    Returns:
        files by the name under which they are asked for.

    Raises:
        ArtifactError: a library cannot be found, or has no symbols of the version that is asked of it.
    """
    first = read_elf(executable)
    found: dict[str, Path] = {}
    elves = {executable.name: first}
    waiting = [*first.needed, *([Path(first.interpreter).name] if first.interpreter else [])]
    while waiting:
        name = waiting.pop(0)
        if name in found:
            continue
        path = find(name)
        if path is None:
            raise ArtifactError(f"{executable.name} needs {name}, which is neither in its runtime nor on this machine")
        found[name] = path
        elves[name] = read_elf(path)
        waiting += elves[name].needed
    _check_versions(elves)
    return found


def _check_versions(elves: dict[str, Elf]) -> None:
    for name, elf in elves.items():
        for library, versions in elf.versions_needed.items():
            missing = versions - elves[library].versions_defined if library in elves else frozenset()
            if missing:
                raise ArtifactError(
                    f"{name} needs {', '.join(sorted(missing))} of {library}, which this machine's has not",
                    hint="build on a newer system (Debian 12, Ubuntu 22.04), or use the Python runner",
                )


def _check_sizes(elf: ELFFile, size: int) -> None:
    """See that no table is longer than the file: the reader would follow its count for hours."""
    if elf.num_sections() * elf["e_shentsize"] > size or elf["e_shentsize"] != _SECTION_HEADER:
        raise ELFError("its section table is longer than the file")
    for section in elf.iter_sections():
        counted = isinstance(section, (GNUVerNeedSection, GNUVerDefSection))
        if section["sh_type"] != "SHT_NOBITS" and section["sh_offset"] + section["sh_size"] > size:
            raise ELFError(f"its section {section.name} is longer than the file")
        if counted and section["sh_info"] > section["sh_size"]:
            raise ELFError(f"its section {section.name} counts more entries than it can hold")


def _facts(elf: ELFFile) -> Elf:
    segments = list(elf.iter_segments())
    dynamic = next((s for s in elf.iter_sections() if isinstance(s, DynamicSection)), None)
    # Any: the names of a tag's own attributes depend on the tag.
    tags: list[Any] = list(dynamic.iter_tags()) if dynamic is not None else []
    undefined, defined = _symbols(elf)
    needed, offered = _versions(elf)
    return Elf(
        machine=elf["e_machine"],
        kind=elf["e_type"],
        interpreter=next((s.get_interp_name() for s in segments if isinstance(s, InterpSegment)), None),
        soname=next((t.soname for t in tags if t.entry.d_tag == "DT_SONAME"), None),
        needed=tuple(t.needed for t in tags if t.entry.d_tag == "DT_NEEDED"),
        runpath=next((t.runpath for t in tags if t.entry.d_tag == "DT_RUNPATH"), None),
        alignment=min((s["p_align"] for s in segments if s["p_type"] == "PT_LOAD"), default=0),
        has_tls=any(s["p_type"] == "PT_TLS" for s in segments),
        undefined=undefined,
        defined=defined,
        versions_needed=needed,
        versions_defined=offered,
    )


def _symbols(elf: ELFFile) -> tuple[frozenset[str], frozenset[str]]:
    table = elf.get_section_by_name(".dynsym")
    undefined, defined = set(), set()
    if isinstance(table, SymbolTableSection):
        for symbol in table.iter_symbols():
            if symbol["st_shndx"] != "SHN_UNDEF":
                defined.add(symbol.name)
            elif symbol.name and symbol["st_info"]["bind"] != "STB_WEAK":
                undefined.add(symbol.name)
    return frozenset(undefined), frozenset(defined)


def _versions(elf: ELFFile) -> tuple[dict[str, frozenset[str]], frozenset[str]]:
    needed: dict[str, frozenset[str]] = {}
    offered: set[str] = set()
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            for library, wanted in section.iter_versions():
                needed[str(library.name)] = frozenset(version.name for version in wanted)
        elif isinstance(section, GNUVerDefSection):
            for _, names in section.iter_versions():
                offered |= {auxiliary.name for auxiliary in names}
    return needed, frozenset(offered)
