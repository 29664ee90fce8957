"""`edgecat defend detect` and `edgecat defend watermark`, on a directory as an attack leaves it."""

from __future__ import annotations

import json
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from victims_in_process import KnownVictim, brighter_half, half_images

from attack.copycat import Copycat, CopycatTrainer, Lesson
from attack.extraction import ThiefSettings, extract
from attack.ledger import AttackIdentity, Ledger
from attack.pools import find_pools
from attack.strategies import find_strategy
from benchmarks import records
from defense.ownership.oracle import WatermarkedOracle
from defense.ownership.watermark import Watermark
from edgecat.__main__ import main
from edgecat.context import describe_run
from edgecat.settings import make_settings
from edgecat.stages.data import load_dataset
from edgecat.stages.walks import walk_again
from foundation.errors import DataError


class NoTrainer(CopycatTrainer):
    def submit(self, lesson: Lesson, *_: object) -> Future[Copycat]:
        return Future()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 16 x 16 and two thieves of its victim."""
    place = tmp_path_factory.mktemp("attacked")
    arrays = {}
    for number, (name, count) in enumerate({"train": 300, "val": 160, "test": 160}.items()):
        images = half_images(count, number)[..., 0]
        arrays[f"{name}_images"] = images
        arrays[f"{name}_labels"] = brighter_half(images[..., None]).argmax(1).astype(np.uint8)[:, None]
    np.savez(place / "halves.npz", **arrays)
    settings = make_settings(data=str(place / "halves.npz"), budgets=(40, 300), pools=("pd:30",), seeds=2)
    dataset = load_dataset(settings)
    records.append(place / "results.jsonl", describe_run(settings, "ab" * 8))
    victim = KnownVictim(brighter_half)
    with Ledger(place / "ledger.sqlite") as ledger:
        for seed in (0, 1):
            thief = ThiefSettings("pd:30", "amplify", "plain", (40, 300), seed, dataset.sha256)
            strategy = find_strategy("amplify", find_pools("pd:30", dataset, seed), 300, seed)
            list(extract(victim, strategy, ledger, thief, NoTrainer(1)))
        part = ledger.attack(AttackIdentity(victim.identity, victim.policy, "query"), 2)
        part.record([bytes(16)], victim.query(half_images(1, 9)), ["query"])
    return place


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, in this process."""
    capfd.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["edgecat", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def test_every_thief_is_told_with_the_false_alarms(attacked: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capfd, "defend", "detect", attacked, "--streams", 3, "--out", attacked / "told", "--json")
    assert code == 0
    document = json.loads(out)
    assert [(thief["pool"], thief["seed"], thief["queries"]) for thief in document["thieves"]] == [
        ("pd:30", 0, 300),
        ("pd:30", 1, 300),
    ]
    for thief in document["thieves"]:
        assert [found["detector"] for found in thief["detections"]] == ["prada", "band"]
        assert all(found["alarm"] is None or 100 < found["alarm"] <= 300 for found in thief["detections"])
    assert [len(alarms["alarms"]) for alarms in document["false_alarms"]] == [3, 3]
    assert [alarms["length"] for alarms in document["false_alarms"]] == [160, 160]
    # Without a checkpoint there is no soda; what a user asked is nobody's walk.
    assert any("soda" in line for line in document["left_out"])
    assert any("query" in line for line in document["left_out"])
    told = (attacked / "told" / "report.html").read_text()
    assert "Queries until the alarm" in told
    assert (attacked / "told" / "plots" / "detection_1.png").exists()


def test_another_ledger_than_the_records_tell_is_refused(attacked: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capfd, "defend", "detect", attacked, "--data", "phantom-that-is-not", "--streams", 2)
    assert (code != 0, out) == (True, "")
    assert "Traceback" not in err
    code, _, err = run(capfd, "defend", "detect", attacked, "--detector", "soda")
    assert code == 2
    assert "--checkpoint" in err
    code, _, err = run(capfd, "defend", "detect", attacked / "none.sqlite")
    assert code == 2
    assert "no ledger" in err


def test_other_data_is_told(attacked: Path) -> None:
    from edgecat.stages.walks import past_settings, past_thieves

    settings = past_settings(attacked / "ledger.sqlite")
    assert settings is not None
    with Ledger(attacked / "ledger.sqlite") as ledger:
        thieves, others = past_thieves(ledger, 2)
        assert others == ["query"]
        other = load_dataset(make_settings(data=settings.data, seed=5))
        with pytest.raises(DataError, match="other data"):
            next(walk_again(ledger, thieves[0], other, settings))


def test_a_watermark_goes_from_key_to_verdict(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import torch

    from victim.checkpoint import CheckpointHeader, save
    from victim.models import build

    key = tmp_path / "owner.key"
    code, out, _ = run(capfd, "defend", "watermark", "make-key", key, "--json")
    assert code == 0
    assert json.loads(out)["fingerprint"] not in key.read_text()
    session = WatermarkedOracle(KnownVictim(brighter_half), Watermark(bytes.fromhex(key.read_text())))
    session.query(half_images(6000, 3))
    session.registered().save(tmp_path / "set.npz")
    header = CheckpointHeader(
        architecture="plain",
        image_shape=(16, 16, 1),
        class_names=("a", "b"),
        dataset="halves",
        dataset_sha256="0" * 64,
        epochs=0,
        seconds_train=0,
    )
    suspect = save(build("plain", 1, 2, torch.Generator().manual_seed(0)), header, tmp_path / "s.safetensors")
    assert suspect.sha256
    words = ("defend", "watermark", "verify", key, tmp_path / "set.npz", tmp_path / "s.safetensors", "--json")
    code, out, err = run(capfd, *words)
    assert code == 0, err
    assert json.loads(out)["verdict"] in ("no evidence", "suspicious")
    code, _, err = run(capfd, "defend", "watermark", "make-key", key)
    assert code == 2
    assert "exists already" in err
