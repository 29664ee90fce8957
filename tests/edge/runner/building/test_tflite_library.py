"""TFLite for Android: from npm, or the user's own library or archive."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from edge.runner.building import tflite
from edge.runner.building.targets import ABIS, Abi
from edge.runner.building.tflite import given_tflite, npm_tflite
from foundation.errors import ArtifactError

from .fixtures_elf import link, own_abi, tflite_library


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def other_abi() -> Abi:
    return next(abi for abi in ABIS.values() if not abi.is_ours)


def archive(path: Path, *files: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for name, data in files:
            opened.writestr(name, data)
    return path


def test_a_library_of_the_users_is_taken_under_its_soname(tmp_path: Path) -> None:
    given = tflite_library(tmp_path / "mine-2.17.so")
    taken = given_tflite(given, own_abi())
    assert (taken.name, taken.read_bytes()) == ("libtflite.so", given.read_bytes())


@pytest.mark.parametrize(
    ("words", "options", "reason"),
    [
        ((), {"symbols": ("TfLiteVersion",)}, "no TfLite C API: TfLiteInterpreterCreate"),
        ((), {"soname": None}, "no SONAME"),
        (("-Wl,--no-as-needed", "-lm"), {}, "needs libm.so.6, which Android does not have"),
    ],
)
def test_a_library_that_android_could_not_load_is_refused(
    tmp_path: Path, cache: Path, words: tuple[str, ...], options: dict[str, object], reason: str
) -> None:
    given = tflite_library(tmp_path / "mine.so", *words, **options)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=reason):
        given_tflite(given, own_abi())
    assert not list((cache / "runtimes").glob("[!.]*"))


def test_a_library_for_another_processor_is_refused(tmp_path: Path) -> None:
    given = tflite_library(tmp_path / "mine.so")
    with pytest.raises(ArtifactError, match=f"is for {own_abi().elf_machine}, not for {other_abi().name}"):
        given_tflite(given, other_abi())


def test_a_file_that_is_neither_library_nor_archive_is_refused_by_its_name(tmp_path: Path) -> None:
    given = tmp_path / "notes.so"
    given.write_text("no library")
    with pytest.raises(ArtifactError, match=r"^notes\.so is no whole ELF file"):
        given_tflite(given, own_abi())
    with pytest.raises(ArtifactError, match="no file"):
        given_tflite(tmp_path / "nothing.aar", own_abi())


def test_the_library_with_the_api_is_found_in_an_archive_with_its_headers(tmp_path: Path) -> None:
    own = own_abi()
    library = tflite_library(tmp_path / "a.so").read_bytes()
    without = link(tmp_path / "b.so", "int x;", "-nostdlib", "-Wl,-soname,libgpu.so").read_bytes()
    given = archive(
        tmp_path / "tflite.aar",
        (f"jni/{own.name}/libgpu.so", without),
        (f"jni/{own.name}/libtflite.so", library),
        ("headers/tensorflow/lite/c/c_api.h", b"// C API"),
        ("headers/../../../escaped.h", b"// elsewhere"),
    )
    taken = given_tflite(given, own)
    assert taken.read_bytes() == library
    assert (taken.parent / "include/tensorflow/lite/c/c_api.h").read_bytes() == b"// C API"
    assert not list(tmp_path.rglob("escaped.h"))


def test_an_archive_without_the_processor_says_which_it_has(tmp_path: Path) -> None:
    given = archive(tmp_path / "tflite.aar", ("jni/armeabi-v7a/libtflite.so", b""), ("jni/x86/libtflite.so", b""))
    with pytest.raises(ArtifactError, match="only for: armeabi-v7a, x86"):
        given_tflite(given, own_abi())


def test_an_archive_without_the_api_names_what_it_has(tmp_path: Path) -> None:
    library = tflite_library(tmp_path / "a.so", symbols=("LiteRtCreateModel",)).read_bytes()
    given = archive(tmp_path / "litert.aar", (f"jni/{own_abi().name}/libLiteRt.so", library))
    with pytest.raises(ArtifactError, match=r"has the TfLite C API: libLiteRt\.so") as raised:
        given_tflite(given, own_abi())
    assert "LiteRT 1" in str(raised.value.hint)


def test_a_torn_archive_is_refused(tmp_path: Path, cache: Path) -> None:
    library = tflite_library(tmp_path / "a.so").read_bytes()
    given = archive(tmp_path / "tflite.aar", (f"jni/{own_abi().name}/libtflite.so", library))
    content = bytearray(given.read_bytes())
    content[200] ^= 255
    given.write_bytes(content)
    with pytest.raises(ArtifactError, match="torn"):
        given_tflite(given, own_abi())
    assert not list((cache / "runtimes").glob("[!.]*"))


@pytest.fixture
def fake_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npm whose registry has one package: the file that is returned."""
    package = tmp_path / "registry.tgz"
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nimport shutil\nshutil.copy({str(package)!r}, 'react-native.tgz')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return package


def test_a_package_that_is_not_the_known_one_is_refused(fake_npm: Path, cache: Path) -> None:
    fake_npm.write_bytes(b"another package of that name and version")
    with pytest.raises(ArtifactError, match="sha512 differs"):
        npm_tflite(ABIS["x86_64"])
    assert not list((cache / "runtimes").glob("[!.]*"))


def test_the_known_package_is_unpacked_for_each_processor(
    tmp_path: Path, fake_npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{fake_npm.parent / 'bin'}:/usr/bin:/bin")
    own = own_abi()
    monkeypatch.setattr(tflite, "ABIS", {own.name: own})
    library = tflite_library(tmp_path / "a.so", soname="libtensorflowlite_jni.so").read_bytes()
    root = "package/android/src/main/cpp/lib/tensorflow"
    members = {
        f"{root}/jni/{own.name}/libtensorflowlite_jni.so": library,
        f"{root}/headers/tensorflow/lite/c/c_api.h": b"// C API",
        "package/ios/a.h": b"// not ours",
    }
    with tarfile.open(fake_npm, "w:gz") as opened:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            opened.addfile(entry, io.BytesIO(data))
    digest = hashlib.sha512(fake_npm.read_bytes()).digest()
    monkeypatch.setattr(tflite, "NPM_INTEGRITY", f"sha512-{base64.b64encode(digest).decode()}")
    taken = npm_tflite(own)
    assert taken.read_bytes() == library
    assert [path.name for path in taken.parent.rglob("*.h")] == ["c_api.h"]
    fake_npm.unlink()
    assert npm_tflite(own) == taken, "it is fetched once"


def test_without_npm_the_reason_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ArtifactError, match="npm is not installed"):
        npm_tflite(ABIS["arm64-v8a"])
