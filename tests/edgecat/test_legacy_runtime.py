"""`--runtime tflite-legacy`: the same file, answered for by the runtime that apps in the field still have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.files import sha256_file
from foundation.manifest import load_artifact, save_manifest

from .command_line import CommandLine, Ended

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]

ENGINE = "tflite-runtime 2.14.0"
LEGACY = ("--runtime", "tflite-legacy")


@pytest.fixture(scope="module")
def older(edgecat: CommandLine, legacy_packages: Path) -> Callable[..., Ended]:
    """`edgecat` with a cache in which the older runtime is set up."""
    return lambda *words: edgecat(*words, EDGECAT_CACHE_DIR=str(legacy_packages.parents[1]))


@pytest.fixture(scope="module")
def queries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 images for the small network that all tests share."""
    path = tmp_path_factory.mktemp("queries") / "queries.npz"
    np.savez(path, images=np.random.default_rng(4).integers(0, 256, (500, 16, 16, 1), np.uint8))
    return path


@pytest.fixture(scope="module")
def small(exported: Callable[[str, int], Any]) -> Path:
    path: Path = exported("tflite_int8", 1).artifact.path
    return path


@pytest.fixture(scope="module")
def dynamic(exported: Callable[[str, int], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same network with weights in int8, per channel, and activations quantised on the way: a new file's form."""
    from ai_edge_quantizer import quantizer, recipe

    source = exported("tflite_fp32", 1).artifact
    path = tmp_path_factory.mktemp("dynamic") / "dynamic.tflite"
    quantizer.Quantizer(str(source.path), recipe.dynamic_wi8_afp32()).quantize().export_model(str(path))
    changes = {"name": "dynamic", "file": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}
    return save_manifest(path, source.manifest.model_copy(update=changes)).path


def agreement(edgecat: Callable[..., Ended], model: Path, queries: Path) -> float:
    """Share of images on which the older runtime answers as the newer does."""
    newer, older = (
        edgecat("query", model, "--images", queries, "--json", *words).document()
        for words in (("--runner", "python"), LEGACY)
    )
    assert (newer["engine"], older["engine"]) == ("LiteRT 2.3.0", ENGINE)
    return float(np.mean(np.equal(newer["labels"], older["labels"])))


def test_setting_it_up_again_tells_where_it_is(older: Callable[..., Ended], legacy_packages: Path) -> None:
    told = older("runner", "legacy", "--json").document()
    assert told == {"runtime": "tflite-legacy", "version": "2.14.0", "packages": str(legacy_packages)}
    assert str(legacy_packages) in older("runner", "legacy").stdout


def test_a_static_int8_file_is_answered_for_nearly_alike(
    older: Callable[..., Ended], small: Path, queries: Path
) -> None:
    assert agreement(older, small, queries) > 0.97


def test_a_dynamic_int8_file_is_silently_wrong_there(older: Callable[..., Ended], dynamic: Path, queries: Path) -> None:
    """What this runtime is for: the file loads, runs, and answers at chance."""
    assert agreement(older, dynamic, queries) < 0.7


def test_our_dynamic_int8_is_right_there_too(
    older: Callable[..., Ended], exported: Callable[[str, int], Any], queries: Path
) -> None:
    """One scale for a fully connected layer, where the file above has one for each channel."""
    assert agreement(older, exported("tflite_int8_dynamic", 1).artifact.path, queries) > 0.97


def test_a_ledger_does_not_give_one_runtime_s_answers_for_another_s(
    older: Callable[..., Ended], small: Path, queries: Path, tmp_path: Path
) -> None:
    words = ("query", small, "--images", queries, "--ledger", tmp_path / "ledger.sqlite", "--json")
    assert older(*words).document()["device_queries"] == 500
    assert "tflite-legacy under label" in older(*words, *LEGACY).refusal(4)
    assert older(*words).document()["device_queries"] == 0


def test_bench_names_the_engine_that_was_measured(older: Callable[..., Ended], small: Path) -> None:
    words = ("bench", small, "--min-seconds", 0.1, "--repeats", 1, "--no-memory", "--json")
    assert older(*words, *LEGACY).document()["latencies"][0]["engine"] == ENGINE
    assert older(*words, "--runner", "python").document()["latencies"][0]["engine"] == "LiteRT 2.3.0"


def test_an_attack_s_records_and_report_name_the_engine(
    older: Callable[..., Ended], model: Path, data: Path, tmp_path: Path
) -> None:
    place = tmp_path / "stolen"
    words = ("--data", data, "--pool", "pd:50", "--budget", 60, "--seeds", 1)
    told = older("attack", model, "--out", place, *words, *LEGACY, "--json").document()
    assert [attack["queries"] for attack in told["attacks"]] == [60]
    records = [json.loads(line) for line in (place / "results.jsonl").read_text().splitlines()]
    assert [record["engine"] for record in records if record["kind"] == "accuracy_on_device"] == [ENGINE]


def test_a_run_measures_the_files_in_it(older: Callable[..., Ended], data: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    words = ["--quick", "--precision", "int8", "--pool", "pd:50", "--budget", "60", "--seeds", "1", "--epochs", "2"]
    told = older("run", "--data", data, "--out", place, *words, *LEGACY, "--json").document()
    assert [(artifact["runtime"], artifact["engine"]) for artifact in told["artifacts"]] == [("tflite", ENGINE)]
    assert load_artifact(place / "artifacts" / "tflite_int8.tflite").manifest.runtime == "tflite"
    assert f"| {ENGINE} |" in (place / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", *LEGACY), "edgecat runner legacy"),
        (("run", *LEGACY, "--runtime", "tflite"), "one run asks a file in one runtime"),
        (("bench", "MODEL", *LEGACY), "edgecat runner legacy"),
        (("bench", "MODEL", *LEGACY, "--runner", "native"), "only the Python runner"),
        (("bench", "MODEL", "--runtime", "abacus"), "abacus does not run tflite_int8"),
        (("bench", "PROGRAM", *LEGACY), "tflite-legacy does not run executorch_fp32"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_told_before_anything_is_done(
    edgecat: CommandLine, small: Path, program: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    """In a cache that has nothing yet."""
    files = {"MODEL": small, "PROGRAM": program}
    out = ("--out", tmp_path / "run") if words[0] == "run" else ()
    ended = edgecat(*(files.get(word, word) for word in words), *out, EDGECAT_CACHE_DIR=str(tmp_path / "cache"))
    assert said in ended.refusal(2)
    assert not (tmp_path / "run").exists()
