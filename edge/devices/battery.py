"""How a device tells of its battery: Android's service, and the kernel's power supplies. Read, not yet understood."""

from __future__ import annotations

import re
import shlex

POWER_SUPPLIES = "/sys/class/power_supply"

_SERVICE_LINE = re.compile(r"^  ([A-Za-z ]+): (-?\w+) *$", re.MULTILINE)
# After `dumpsys battery set` or `unplug`: what the service says from then on was said by somebody.
_STOPPED = "UPDATES STOPPED"
_SUPPLY_LINE = re.compile(r"^power_supply/([^/\n]+)/(\w+)=(.*)$", re.MULTILINE)


def question(power_supplies: str, files: str) -> str:
    """The shell command that asks both, for these files of each power supply."""
    return (
        f"dumpsys battery 2>/dev/null; cd {shlex.quote(power_supplies)} 2>/dev/null && "
        f"for s in *; do for f in {files}; do "
        '[ -r "$s/$f" ] && echo "power_supply/$s/$f=$(cat "$s/$f" 2>/dev/null)"; done; done; true'
    )


def said_by_service(text: str) -> dict[str, str]:
    """What `dumpsys battery` prints (AOSP, BatteryService.dumpInternal), by name.

    Makers' own lines behind it repeat names in other units: the first one counts. Empty where somebody has set the
    values by hand.
    """
    return {} if _STOPPED in text else dict(reversed(_SERVICE_LINE.findall(text)))


def said_by_kernel(text: str) -> dict[str, dict[str, str]]:
    """Lines `power_supply/NAME/FILE=VALUE` (Linux, Documentation/ABI/testing/sysfs-class-power): values by both."""
    supplies: dict[str, dict[str, str]] = {}
    for name, file, value in _SUPPLY_LINE.findall(text):
        supplies.setdefault(name, {})[file] = value.strip()
    return supplies


def feeds_device(said: dict[str, str]) -> bool:
    """Whether a power supply is a battery of the device itself: a stylus or a headset has one of the scope Device."""
    return said.get("type") == "Battery" and said.get("scope") != "Device" and said.get("present") != "0"
