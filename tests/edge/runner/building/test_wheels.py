"""The runtimes' wheels: the pinned versions, unpacked whole and checked, or not at all."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from edge.runner.building import wheels
from edge.runner.building.targets import ABIS
from edge.runner.building.wheels import WHEELS, Wheel, is_at_hand, wheel_package
from foundation.errors import ArtifactError

# No machine installs it, so it can only come from the cache or from pip.
WHEEL = Wheel("no-such-runtime", "1.0", "no_such", ("libx.so", "include/"))
ARM = ABIS["arm64-v8a"]
FILES = {
    "no_such/libx.so": b"library",
    "no_such/include/a/x.h": b"header",
    "no_such/left_out.py": b"python",
    "no_such-1.0.dist-info/METADATA": b"Name: no-such-runtime",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put_wheel(cache: Path, files: dict[str, bytes], recorded: dict[str, bytes] | None = None) -> Path:
    """A wheel in the cache, with a RECORD of `recorded` (of its own files if None)."""
    path = cache / "wheels" / f"no_such-1.0-cp311-cp311-manylinux_2_28_{ARM.machine}.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{name},sha256={_hash(data)},{len(data)}" for name, data in (recorded or files).items()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("no_such-1.0.dist-info/RECORD", "\n".join([*rows, "no_such-1.0.dist-info/RECORD,,"]))
    return path


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def test_versions_are_those_that_the_exporters_are_pinned_to() -> None:
    project = (Path(__file__).parents[4] / "pyproject.toml").read_text()
    for wheel in WHEELS.values():
        assert f'"{wheel.project}=={wheel.version}"' in project


def test_a_kept_wheel_is_unpacked_without_what_no_runner_needs(cache: Path) -> None:
    put_wheel(cache, FILES)
    assert is_at_hand(WHEEL, ARM)
    package = wheel_package(WHEEL, ARM)
    found = {path.relative_to(package.parent).as_posix() for path in package.parent.rglob("*") if path.is_file()}
    assert found == set(FILES) - {"no_such/left_out.py"}
    assert (package / "libx.so").read_bytes() == b"library"


def test_a_file_that_is_not_what_record_says_is_refused_and_the_wheel_removed(cache: Path) -> None:
    path = put_wheel(cache, FILES | {"no_such/libx.so": b"another"}, recorded=FILES)
    with pytest.raises(ArtifactError, match=r"libx\.so is not what its RECORD says"):
        wheel_package(WHEEL, ARM)
    assert not path.exists(), "the next try must fetch it anew"
    assert not list((cache / "runtimes").glob("[!.]*"))


def test_a_torn_wheel_is_refused_and_removed(cache: Path) -> None:
    path = put_wheel(cache, FILES)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ArtifactError, match="torn"):
        wheel_package(WHEEL, ARM)
    assert not path.exists()


def test_a_wheel_without_the_library_is_refused(cache: Path) -> None:
    put_wheel(cache, {name: data for name, data in FILES.items() if not name.endswith(".so")})
    with pytest.raises(ArtifactError, match=r"has no libx\.so"):
        wheel_package(WHEEL, ARM)
    assert not list((cache / "runtimes").glob("[!.]*"))


def test_no_index_is_one_clear_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    assert not is_at_hand(WHEEL, ARM)
    with pytest.raises(
        ArtifactError, match=r"cannot fetch the wheel of no-such-runtime 1\.0 for arm64-v8a: pip says"
    ) as raised:
        wheel_package(WHEEL, ARM)
    assert raised.value.hint
    assert not wheels.is_offered(WHEEL, ARM)
    assert not [path for path in cache.rglob("[!.]*") if path.is_file()]


@pytest.mark.parametrize("engine", WHEELS)
def test_the_installed_wheel_serves_this_machine(cache: Path, engine: str) -> None:
    own = next((abi for abi in ABIS.values() if abi.is_ours), None)
    if own is None:
        pytest.skip("no runner is built for this machine")
    package = wheel_package(WHEELS[engine], own)
    assert all((package / part).exists() for part in WHEELS[engine].parts)
    assert not cache.exists(), "nothing was fetched or copied"
