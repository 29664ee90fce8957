"""The report's layers: the longest, in their order, and kinds of operators summed up."""

from __future__ import annotations

from pathlib import Path

from fabricated_records import RecordMaker

from benchmarks.report import write_report
from benchmarks.report.profiles import layer_bars


def test_each_profiled_artifact_has_a_picture_and_its_kinds_of_operators(maker: RecordMaker, tmp_path: Path) -> None:
    profile = maker.profile("tflite_int8")
    records = [maker.context(), maker.device(), maker.artifact(), maker.latency("tflite_int8"), profile]
    text = write_report(records, tmp_path).read_text()
    assert (tmp_path / "plots" / "profile_1_1.png").is_file()
    convolutions = [layer.mean_us for layer in profile.layers if layer.kind == "Convolution"]
    assert f"{100 * sum(convolutions) / profile.inference_us:.1f}\u00a0%" in text
    assert "is no latency" in text


def test_of_many_layers_the_longest_are_drawn_in_the_order_of_the_inference(maker: RecordMaker) -> None:
    profile = maker.profile("tflite_int8", layers=200)
    named = [layer.model_copy(update={"name": f"layer-{number}"}) for number, layer in enumerate(profile.layers)]
    drawn = layer_bars(profile.model_copy(update={"layers": named}), "many").svg
    longest = sorted(sorted(range(200), key=lambda number: -named[number].mean_us)[:24])
    places = [drawn.index(f">layer-{number}<") for number in longest]
    assert places == sorted(places)
    assert drawn.count(">layer-") == 24
    assert "176 shorter layers" in drawn
