"""Each stage as a command of its own, on a small data set, on a real emulated device."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from foundation.files import sha256_file
from foundation.manifest import load_artifact

from .command_line import CommandLine, Ended
from .conftest import Emulator, Walked

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(180, func_only=True)]

Arrays = dict[str, NDArray[np.uint8]]


@pytest.fixture(scope="module")
def queries(edgecat: CommandLine, arrays: Arrays) -> Path:
    """The test images without their labels."""
    path = edgecat.directory / "queries.npz"
    np.savez(path, images=arrays["test_images"])
    return path


def in_process(model: Path, images: NDArray[np.uint8]) -> list[int]:
    """Labels of the same file in its runtime, in this process."""
    from export.parity import runtime_logits

    labels: list[int] = runtime_logits(load_artifact(model), images).argmax(1).tolist()
    return labels


def test_recipes_are_listed_with_one_s_own_and_with_what_is_not_supported(edgecat: CommandLine, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('[careful]\nlike = "tflite_int8"\ncalibration_images = 256\n')
    told = edgecat("export", "--list", "--recipes", mine, "--json").document()
    by_name = {recipe["name"]: recipe for recipe in told["recipes"]}
    assert by_name["careful"] == by_name["tflite_int8"] | {"name": "careful", "calibration_images": 256}
    assert "executorch_int16x8" in told["unsupported"]
    shown = edgecat("export", "--list").stdout
    assert all(name in shown for name in (*set(by_name) - {"careful"}, *told["unsupported"]))


def test_an_export_asks_a_device_too(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path
) -> None:
    words = ["--recipe", "tflite_fp16", "--everywhere", "--device", "embedded", "--data", data, "--out", tmp_path]
    (made,) = edgecat_here("export", walked.checkpoint, *words, "--json").document()["artifacts"]
    elsewhere = {one["engine"]: one for one in made["elsewhere"]}
    assert all(one["ok"] and one["agreement"] >= 0.99 for one in elsewhere.values())
    assert any(one["device_kind"] == "embedded" for one in elsewhere.values())


def test_a_ready_file_is_taken_as_it_is(edgecat: CommandLine, model: Path, data: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.tflite"
    theirs.write_bytes(model.read_bytes())
    words = ("export", theirs, "--data", data, "--out", tmp_path / "taken", "--device", "embedded")
    (taken,) = edgecat(*words, "--json").document()["artifacts"]
    assert taken["sha256"] == load_artifact(model).manifest.sha256
    assert taken["accuracy_on_device"] > 0.8
    assert "a number" in edgecat(*words, "--mean", "much").refusal(2)


def test_layers_are_told_by_what_int8_does_to_them(
    edgecat_here: Callable[..., Ended], data: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import save_file

    from victim.loaders import load
    from victim.models import PlainCNN

    dataset = load(str(data))
    torch.manual_seed(0)
    network = PlainCNN(dataset.image_shape[2], len(dataset.class_names))
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    words = ("export", "victim.models:PlainCNN", "--weights", tmp_path / "weights.safetensors", "--data", data)
    layers = edgecat_here(*words, "--out", tmp_path, "--sensitivity", "--json").document()["layers"]
    names = {*(f"network.features.{number}.0" for number in (0, 2, 4, 6)), "network.head"}
    assert {one["layer"] for one in layers} == names
    assert [one["relative_rms"] for one in layers] == sorted((one["relative_rms"] for one in layers), reverse=True)


def test_the_smallest_file_within_a_drop_is_int8_where_all_is_allowed(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path
) -> None:
    words = ("--data", data, "--out", tmp_path, "--auto", "--max-drop", 100, "--recipe", "executorch_int8", "--json")
    (chosen,) = edgecat_here("export", walked.checkpoint, *words).document()["artifacts"]
    assert [step["float_layers"] for step in chosen["tried"]] == [[]]
    assert load_artifact(tmp_path / "executorch_int8_auto.pte").manifest.recipe == "executorch_int8_auto"


def test_of_all_recipes_one_that_does_not_fit_keeps_no_other_back(data: Path, tmp_path: Path) -> None:
    import torch
    from torch import nn

    from edgecat.stages.export import export_victim
    from export.recipes import find_recipe
    from foundation.errors import ArtifactError
    from victim.checkpoint import Checkpoint, header_for
    from victim.loaders import load

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)).repeat(1, 2) if float(x.sum()) > 1 else torch.zeros(len(x), 2)

    dataset, recipe = load(str(data)), find_recipe("executorch_fp32")
    victim = Checkpoint(Branching().eval(), header_for(dataset, "", 0.0), "0" * 64)
    words = (victim, dataset, (recipe,), tmp_path, "run", tmp_path / "export.log")
    left_out: dict[str, str] = {}
    assert list(export_victim(*words, left_out=left_out)) == []
    assert "does not take this network" in left_out[recipe.name]
    with pytest.raises(ArtifactError):
        list(export_victim(*words))


def test_a_factory_s_weights_are_exported(
    edgecat_here: Callable[..., Ended], walked: Walked, data: Path, tmp_path: Path
) -> None:
    """The victim's own checkpoint, as somebody would bring it: a factory of ours, and a file of weights."""
    words = ("--weights", walked.checkpoint, "--data", data, "--out", tmp_path, "--recipe", "executorch_fp32", "--json")
    (made,) = edgecat_here("export", "victim.models:ResidualCNN", *words).document()["artifacts"]
    assert made["parity"]["ok"]
    assert load_artifact(tmp_path / "executorch_fp32.pte").manifest.victim_architecture == "victim.models:ResidualCNN"
    told = edgecat_here("export", walked.checkpoint, "--data", data, "--layout", "nhwc").refusal(2)
    assert "knows its own layout" in told


def test_a_victim_is_trained_then_exported_for_both_runtimes(
    edgecat_here: Callable[..., Ended], data: Path, tmp_path: Path
) -> None:
    checkpoint, place = tmp_path / "victim.safetensors", tmp_path / "shipped"
    trained = edgecat_here("train", "--data", data, "--epochs", 4, "--out", checkpoint, "--json").document()
    assert trained["checkpoint"] == str(checkpoint)
    assert trained["sha256"] == sha256_file(checkpoint)
    assert trained["epochs"] <= 4
    assert trained["accuracy"] > 0.8
    recipes = ("tflite_fp32", "executorch_fp32")
    chosen = [word for name in recipes for word in ("--recipe", name)]
    words = ["export", checkpoint, "--data", data, "--out", place, "--json", *chosen]
    made = edgecat_here(*words).document()["artifacts"]
    assert [artifact["name"] for artifact in made] == list(recipes)
    for artifact in made:
        assert artifact["parity"]["ok"]
        assert artifact["parity"]["images"] >= 500
        manifest = load_artifact(Path(artifact["path"])).manifest
        assert (manifest.sha256, manifest.victim_sha256) == (artifact["sha256"], trained["sha256"])
    assert (place / "export.log").stat().st_size > 0


def test_a_pushed_model_is_on_the_device_whole(edgecat: CommandLine, model: Path, emulator: Emulator) -> None:
    told = edgecat("push", model, "--device", "emulator:shared", "--json").document()
    assert told["device"] == "emulator:shared"
    assert told["sha256"] == sha256_file(Path(told["path"])) == sha256_file(model)
    assert told["bytes"] == model.stat().st_size
    again = edgecat("push", model, "--device", f"tcp:{emulator.address}", "--json").document()
    assert again["path"] == told["path"]


def test_labels_from_the_device_are_those_of_the_runtime_in_process(
    edgecat: CommandLine, model: Path, queries: Path, arrays: Arrays
) -> None:
    told = edgecat("query", model, "--images", queries, "--json").document()
    images = arrays["test_images"][..., None]
    assert told["labels"] == in_process(model, images)
    assert told["device_queries"] == len(images) == len(told["device_ns"])
    assert told["scores"] is None
    assert min(told["device_ns"]) > 0


def test_a_pte_answers_on_the_device_too(edgecat: CommandLine, program: Path, tmp_path: Path) -> None:
    images = np.random.default_rng(2).integers(0, 256, (40, 16, 16, 1), np.uint8)
    np.savez(tmp_path / "queries.npz", images=images)
    told = edgecat("query", program, "--images", tmp_path / "queries.npz", "--json").document()
    assert told["labels"] == in_process(program, images)


def test_the_policy_decides_what_an_answer_carries(edgecat: CommandLine, model: Path, queries: Path) -> None:
    best = edgecat("query", model, "--images", queries, "--answers", "topk:2", "--json").document()
    everything = edgecat("query", model, "--images", queries, "--answers", "scores", "--json").document()
    assert np.shape(best["named"]) == np.shape(best["scores"]) == (250, 2)
    assert np.shape(everything["scores"]) == (250, 3)
    np.testing.assert_allclose(np.sum(everything["scores"], axis=1), 1, rtol=1e-5)
    assert best["labels"] == everything["labels"]


def test_people_get_a_line_for_each_picture_of_a_folder(
    edgecat: CommandLine, model: Path, arrays: Arrays, tmp_path: Path
) -> None:
    for number in range(3):
        Image.fromarray(arrays["test_images"][number]).save(tmp_path / f"{number}.png")
    ended = edgecat("query", model, "--images", tmp_path)
    labels = in_process(model, arrays["test_images"][:3, ..., None])
    assert ended.code == 0
    assert ended.stdout.splitlines() == [f"{number}\tclass {label}" for number, label in enumerate(labels)]


def test_a_ledger_pays_for_each_image_once_and_a_budget_ends_with_5(
    edgecat: CommandLine, model: Path, queries: Path, tmp_path: Path
) -> None:
    words = ("query", model, "--images", queries, "--ledger", tmp_path / "ledger.sqlite", "--json")
    short = edgecat(*words, "--budget", 100)
    assert "the budget of 100 queries is spent, 150 images are left" in short.error(5)
    first = json.loads(short.stdout)
    assert (len(first["labels"]), first["device_queries"]) == (100, 100)
    enough = edgecat(*words, "--budget", 250).document()
    assert (len(enough["labels"]), enough["device_queries"]) == (250, 150)
    assert enough["labels"][:100] == first["labels"]
    free = edgecat(*words).document()
    assert free["device_queries"] == 0
    assert free["labels"] == enough["labels"]


def test_a_ledger_of_answers_under_another_policy_is_refused_and_left_alone(
    edgecat: CommandLine, model: Path, queries: Path, tmp_path: Path
) -> None:
    words = ("query", model, "--images", queries, "--ledger", tmp_path / "ledger.sqlite", "--json")
    labels = edgecat(*words).document()
    refusal = edgecat(*words, "--answers", "scores").refusal(4)
    assert "under policy label, not to" in refusal
    assert "another ledger" in refusal
    again = edgecat(*words).document()
    assert (again["labels"], again["device_queries"]) == (labels["labels"], 0)


def test_a_ledger_answers_also_for_other_pictures_in_another_order(
    edgecat: CommandLine, model: Path, arrays: Arrays, tmp_path: Path
) -> None:
    """Pictures are a user's own: no thief walks there, and none is refused."""
    images, asked = arrays["test_images"], []
    for number, chosen in enumerate((slice(0, 20), slice(30, 10, -1))):
        np.savez(tmp_path / f"{number}.npz", images=images[chosen])
        words = ("--images", tmp_path / f"{number}.npz", "--ledger", tmp_path / "ledger.sqlite", "--json")
        told = edgecat("query", model, *words).document()
        assert told["labels"] == in_process(model, images[chosen][..., None])
        asked.append(told["device_queries"])
    assert asked == [20, 11]


def test_an_attack_alone_leaves_ledger_records_and_report_and_pays_nothing_again(
    edgecat_here: Callable[..., Ended], model: Path, data: Path, tmp_path: Path
) -> None:
    options = ["--pool", "npd", "--pool", "pd:20", "--budget", "20", "--budget", "40", "--seeds", "1", "--json"]
    words = ("attack", model, "--data", data, "--out", tmp_path, *options)
    told = edgecat_here(*words).document()
    found = {(one["pool"], one["strategy"], one["budget"], one["queries"]) for one in told["attacks"]}
    pools = (("npd", "random"), ("pd:20", "amplify"))
    assert found == {(*pool, budget, budget) for pool in pools for budget in (20, 40)}
    assert all(0 <= one["fidelity_ci"][0] <= one["fidelity"] <= one["fidelity_ci"][1] <= 1 for one in told["attacks"])
    assert all((tmp_path / name).is_file() for name in ("results.jsonl", "report.html", "report.md"))
    again = edgecat_here(*words).document()
    assert again["attacks"] == told["attacks"]
    assert "under policy label, not to" in edgecat_here(*words, "--answers", "scores").refusal(4)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        assert ledger.execute("SELECT count(*) FROM queries").fetchone() == (80,)


def test_a_report_is_made_again_from_the_records(edgecat_here: Callable[..., Ended], walked: Walked) -> None:
    pages = [walked.directory / name for name in ("report.html", "report.md")]
    before = [page.read_text() for page in pages]
    for page in pages:
        page.unlink()
    assert edgecat_here("report", walked.directory, "--json").document() == walked.document
    assert [page.read_text() for page in pages] == before


def test_a_report_without_its_data_set_leaves_the_pictures_out(
    edgecat_here: Callable[..., Ended], walked: Walked, tmp_path: Path
) -> None:
    (tmp_path / "results.jsonl").write_bytes((walked.directory / "results.jsonl").read_bytes())
    ended = edgecat_here("report", tmp_path, "--json")
    document: Any = ended.document()
    assert "no contact sheet" in ended.stderr
    assert document["report"] == str(tmp_path / "report.html")
    assert {**document, "report": None} == {**walked.document, "report": None}


def test_the_contact_sheet_is_a_picture(edgecat: CommandLine, data: Path, tmp_path: Path) -> None:
    told = edgecat("data", "show", "--data", data, "--out", tmp_path / "sheet.png", "--json").document()
    assert told["class_names"] == ["class 0", "class 1", "class 2"]
    assert told["images"] == {"train": 349, "val": 150, "test": 250, "thief": 351}
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 3 * 32


def test_an_emulator_is_started_listed_and_stopped(edgecat: CommandLine) -> None:
    started = edgecat("emulator", "start", "--name", "mine", "--json").document()
    try:
        assert edgecat("emulator", "start", "--name", "mine", "--json").document() == started
        listed = edgecat("emulator", "list", "--json").document()["emulators"]
        assert started in listed
        assert started["spec"] in edgecat("devices").stdout
        assert Path(started["key"]).stat().st_mode & 0o777 == 0o600
        assert f"adb connect {started['address']}" in edgecat("emulator", "start", "--name", "mine").stdout
    finally:
        assert edgecat("emulator", "stop", "--name", "mine", "--json").document() == {"stopped": "mine"}
    assert not Path(started["root"]).exists()
    assert started not in edgecat("emulator", "list", "--json").document()["emulators"]
