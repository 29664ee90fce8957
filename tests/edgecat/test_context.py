"""What a run writes down of itself names nobody's phone."""

from __future__ import annotations

import sys

import pytest

from edge.devices.information import DeviceInfo
from edgecat.context import describe_run
from edgecat.settings import make_settings
from edgecat.stages.device import describe_device


@pytest.mark.parametrize("words", [("--device", "serial:R58M12345XY"), ("--device=serial:R58M12345XY",)])
def test_a_phones_serial_number_is_in_no_record(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/edgecat", "run", *words, "--quick"])
    context = describe_run(make_settings(device="serial:R58M12345XY"), "run")
    info = DeviceInfo("serial:R58M12345XY", "physical", "0" * 12, "Phone", "arm64-v8a", "14", "/data", {})
    device = describe_device(info, "run")
    assert context.command[0] == "edgecat"
    assert "serial:#" in " ".join(context.command)
    assert context.settings["device"] == device.spec
    assert "R58M12345XY" not in context.model_dump_json() + device.model_dump_json()
