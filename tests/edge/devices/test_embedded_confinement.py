"""No path leads out of the embedded device's root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.devices.embedded.confinement import Confinement, OutsideRoot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "data").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "link-out").symlink_to(tmp_path)
    (root / "link-in").symlink_to("data")
    (root / "link-to-secret").symlink_to("../secret")
    (root / "loop").symlink_to("loop")
    return root


@pytest.mark.parametrize(
    "path",
    ["..", "../secret", "data/../../secret", "/", "/etc/passwd", "link-out/secret", "link-to-secret", "a\0b", "./../x"],
)
def test_a_path_out_of_the_root_is_refused(root: Path, path: str) -> None:
    with pytest.raises(OutsideRoot):
        Confinement.of(root).target(path)


def test_a_neighbour_whose_name_begins_like_the_root_is_outside(root: Path) -> None:
    root.with_name("root-of-another").mkdir()
    with pytest.raises(OutsideRoot):
        Confinement.of(root).target(f"{root}-of-another")


def test_paths_below_the_root_are_found(root: Path) -> None:
    confinement = Confinement.of(root)
    assert confinement.target("data/x") == root / "data/x"
    assert confinement.target(f"{root}/data") == root / "data"
    assert confinement.target("link-in/x") == root / "data/x"
    assert confinement.target("") == root
    assert confinement.entry("data/../data/x") == root / "data/x"
    assert confinement.entry("link-in/") == root / "link-in"


def test_a_link_that_leads_out_can_itself_be_seen_and_replaced(root: Path) -> None:
    assert Confinement.of(root).entry("link-to-secret") == root / "link-to-secret"
    with pytest.raises(OutsideRoot):
        Confinement.of(root).entry("link-out/secret")


def test_the_refusal_names_the_root(root: Path) -> None:
    with pytest.raises(OutsideRoot, match=str(root)):
        Confinement.of(root).target("/etc")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(
        st.sampled_from(["..", ".", "", "data", "link-out", "link-in", "link-to-secret", "loop", "x", "/"])
        | st.text(max_size=3),
        max_size=6,
    )
)
def test_whatever_the_path_nothing_outside_is_reached(root: Path, parts: list[str]) -> None:
    confinement = Confinement.of(root)
    for resolve in (confinement.target, confinement.entry):
        try:
            place = resolve("/".join(parts))
        except (OutsideRoot, ValueError):
            continue
        parent = Path(os.path.realpath(place.parent)) if place != root else root
        assert parent == root or root in parent.parents
