"""Settings that cannot work: exit code 2, one line, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .command_line import CommandLine, Ended

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--runtime onnx", "unknown runtime 'onnx'"),
        ("--precision int4", "unknown precision 'int4'"),
        ("--answers odds", "unknown answer policy 'odds'"),
        ("--answers topk:0", "unknown answer policy 'topk:0'"),
        ("--budget 0", "'0' is no number of queries"),
        ("--budget -5", "'-5' is no number of queries"),
        ("--budgets 250,,1k", "'' is no number of queries"),
        ("--budgets 1.5k", "'1.5k' is no number of queries"),
        ("--device toaster", "unknown device 'toaster'"),
        ("--device tcp:nowhere", "no address"),
        ("--device embedded:x", "unknown device"),
        ("--cpus two", "--cpus=two is no list of processors"),
        ("--recipe int3", "unknown recipe 'int3'"),
        ("--recipe tflite_int8 --precision int8", "a recipe has its own precision"),
        ("--recipe tflite_int8 --runtime executorch", "not all of the runtime"),
        ("--runtime tflite --target executorch_int8", "no artefact 'executorch_int8'"),
    ],
)
def test_a_run_that_cannot_work_is_refused_before_torch_is_loaded(
    edgecat: CommandLine, tmp_path: Path, options: str, said: str
) -> None:
    ended = edgecat("run", "--out", tmp_path / "run", *options.split(), python=("-X", "importtime"))
    assert ended.code == 2
    assert "| torch\n" not in ended.stderr
    told = [line for line in ended.stderr.splitlines() if not line.startswith("import time:")]
    assert told[0].startswith("error: ")
    assert told[1].startswith(" hint: ")
    assert len(told) == 2
    assert said in told[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--pool moon", 2, "unknown pool 'moon'"),
        ("--pool pd:0", 2, "unknown pool 'pd:0'"),
        ("--pool proxy", 2, "no second hospital"),
        ("--pool pd:352", 4, "only 351"),
        ("--pool pd:50 --strategy random --budget 60", 4, "holds 50 images"),
        ("--pool npd --strategy amplify", 2, "pool npd has no end"),
        ("--strategy clairvoyant", 2, "unknown strategy 'clairvoyant'"),
        ("--architecture vgg", 2, "unknown architecture 'vgg'"),
        ("--architecture nowhere:made", 2, "cannot import nowhere:made"),
        ("--thief vgg", 2, "unknown architecture 'vgg'"),
        ("--answers topk:9", 2, "topk:9"),
        ("--pool npd+moon", 2, "unknown pool 'moon'"),
        ("--pool npd+pd:5 --strategy random+amplify+entropy", 2, "3 strategies"),
        ("--pool pd:30+pd:20 --strategy random --budget 60", 4, "holds 50 images"),
        ("--strategy amplify:clairvoyant", 2, "unknown strategy 'amplify:clairvoyant'"),
        ("--strategy random:entropy", 2, "unknown strategy 'random:entropy'"),
        ("--learner psychic", 2, "unknown learner 'psychic'"),
    ],
)
def test_what_only_the_data_can_tell_is_refused_before_training_and_leaves_the_directory_free(
    edgecat_here: Callable[..., Ended], data: Path, tmp_path: Path, options: str, code: int, said: str
) -> None:
    ended = edgecat_here("run", "--data", data, "--out", tmp_path / "run", *options.split())
    assert said in ended.refusal(code)
    assert not (tmp_path / "run").exists()


def test_an_output_that_cannot_be_written_is_refused_before_training(
    edgecat: CommandLine, edgecat_here: Callable[..., Ended], data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    below = tmp_path / "file" / "below"
    assert "cannot write" in edgecat("run", "--out", below).refusal(2)
    assert "cannot write" in edgecat("data", "show", "--data", data, "--out", below).refusal(2)
    ended = edgecat_here("train", "--data", data, "--out", below)
    assert "cannot write" in ended.refusal(2)
    assert "training" not in ended.stderr
    assert "cannot write" in edgecat_here("train", "--data", data, "--out", tmp_path).refusal(2)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_architecture_of_the_user_s_must_be_a_module(edgecat_here: Callable[..., Ended], data: Path) -> None:
    ended = edgecat_here("train", "--data", data, "--architecture", "builtins:range")
    assert "made a range, not a torch.nn.Module" in ended.refusal(2)


def test_an_unknown_recipe_names_the_known_ones(edgecat: CommandLine) -> None:
    assert "not supported" in edgecat("export", "absent.safetensors", "--recipe", "executorch_int16x8").refusal(2)
    assert "nothing to export" in edgecat("export").refusal(2)
    assert "cannot read absent.toml" in edgecat("export", "absent.safetensors", "--recipes", "absent.toml").refusal(4)
    told = edgecat("export", "absent.safetensors", "--recipe", "onnx_int8").refusal(2)
    assert "unknown recipe 'onnx_int8'" in told
    assert "executorch_fp32" in told


def test_a_directory_that_holds_a_run_is_not_written_over(edgecat: CommandLine, tmp_path: Path) -> None:
    settings = tmp_path / "run" / "run.toml"
    settings.parent.mkdir()
    settings.write_text("seed = 7\n")
    told = edgecat("run", "--out", settings.parent).refusal(2)
    assert "holds a run already" in told
    assert "--resume" in told
    assert settings.read_text() == "seed = 7\n"


def test_a_resumed_run_keeps_its_settings(edgecat: CommandLine, tmp_path: Path) -> None:
    assert "--budgets cannot change them" in edgecat("run", "--resume", "--out", tmp_path, "--budget", "9").refusal(2)
    assert "no run to resume" in edgecat("run", "--resume").refusal(2)
    assert "no run directory" in edgecat("run", "--resume", "--out", tmp_path).refusal(4)
    (tmp_path / "run.toml").write_text("seed = [")
    assert "is not TOML" in edgecat("run", "--resume", "--out", tmp_path).refusal(4)
    (tmp_path / "run.toml").write_text("speed = 3")
    assert "cannot read" in edgecat("run", "--resume", "--out", tmp_path).refusal(4)
    assert (tmp_path / "run.toml").read_text() == "speed = 3"


@pytest.mark.parametrize("options", ["--budget 5", "--ledger ledger.sqlite --budget 0", "--answers everything"])
def test_a_query_that_cannot_work_is_refused_before_anything_is_read(edgecat: CommandLine, options: str) -> None:
    edgecat("query", "absent.tflite", "--images", "absent", *options.split()).refusal(2)


def test_an_emulator_of_another_kind_or_a_bad_name_is_refused(edgecat: CommandLine) -> None:
    assert "no emulated device 'vm'" in edgecat("emulator", "start", "vm").refusal(2)
    assert "is no name" in edgecat("emulator", "start", "--name", "../up").refusal(2)
