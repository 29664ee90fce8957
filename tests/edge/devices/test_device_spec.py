"""How a user names a device."""

from __future__ import annotations

import re

import pytest

from edge.devices.spec import DeviceSpec, parse_spec
from foundation.errors import UsageError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("embedded", DeviceSpec("embedded")),
        ("emulator:bench-1", DeviceSpec("emulator", "bench-1")),
        ("serial", DeviceSpec("serial")),
        ("serial:R58M12ABCDE", DeviceSpec("serial", "R58M12ABCDE")),
        ("serial:192.168.1.20:5555", DeviceSpec("serial", "192.168.1.20:5555")),
        ("tcp:192.168.1.20:5555", DeviceSpec("tcp", host="192.168.1.20", port=5555)),
        ("tcp:[::1]:5555", DeviceSpec("tcp", host="::1", port=5555)),
        ("sandbox:arm64-v8a", DeviceSpec("sandbox", "arm64-v8a")),
        ("vm:arm64-v8a", DeviceSpec("vm", "arm64-v8a")),
        ("usb:R58M12ABCDE", DeviceSpec("usb", "R58M12ABCDE")),
    ],
)
def test_every_form_is_read_and_written_alike(text: str, spec: DeviceSpec) -> None:
    assert parse_spec(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize(
    "text",
    [
        "phone",
        "tcp",
        "tcp:",
        "tcp:host",
        "tcp:host:",
        "tcp:host:0",
        "tcp:host:70000",
        "tcp::5555",
        "tcp:host:x",
        " ",
        "embedded:",
        "embedded:x",
        "serial:",
        "emulator",
        "emulator:",
        "sandbox",
        "EMBEDDED",
    ],
)
def test_anything_else_is_a_usage_error_with_a_hint(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    assert caught.value.hint


def test_without_a_spec_android_serial_counts_and_then_the_embedded_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_spec() == DeviceSpec("embedded")
    assert parse_spec("") == DeviceSpec("embedded")
    monkeypatch.setenv("ANDROID_SERIAL", "R58M12ABCDE")
    assert parse_spec() == DeviceSpec("serial", "R58M12ABCDE")
    assert parse_spec("embedded") == DeviceSpec("embedded")


@pytest.mark.parametrize(
    "text", ["serial:R58M12345XY", "usb:R58M12345XY", "tcp:192.168.1.20:5555", "tcp:[fe80::1]:5555"]
)
def test_records_have_no_phones_serial_number_or_address(text: str) -> None:
    shown = parse_spec(text).anonymous
    kind, _, phone = text.partition(":")
    assert phone not in shown
    assert re.fullmatch(rf"{kind}:#[0-9a-f]{{12}}", shown)
    assert parse_spec(text).anonymous == shown


@pytest.mark.parametrize(
    "text", ["embedded", "serial", "serial:emulator-5554", "tcp:127.0.0.1:5555", "emulator:mine", "vm:arm64-v8a"]
)
def test_what_names_no_phone_stands_in_records_as_it_is(text: str) -> None:
    assert parse_spec(text).anonymous == text
