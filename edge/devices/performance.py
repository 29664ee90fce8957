"""Android's fixed performance mode: switched on for a measurement, and off again whatever becomes of us.

In this mode clocks are held where they can be sustained (developer.android.com, ADPF, "Fixed performance mode"). Who
left it on would drain a battery; so a shell on the device switches it off when its own input ends: at the end of
the work, when this process is killed, when the cable is pulled. A reboot ends the mode too. Android does not tell
whether it was on before: afterwards it is off, as by default.
"""

from __future__ import annotations

from types import TracebackType

from edge.adb.cleanup import CleanupShell
from edge.adb.client import Adb
from edge.devices.information import DeviceInfo

# Android 11, where the command came.
_FIRST_API = 30
_SWITCH = "cmd power set-fixed-performance-mode-enabled"


class FixedPerformance:
    """The mode while a `with` block runs.

    Attributes:
        on: whether the device has switched it on.
        why_not: else why, for people; empty if on.
    """

    def __init__(self, adb: Adb, info: DeviceInfo) -> None:
        self._adb = adb
        self._shell: CleanupShell | None = None
        self.on = False
        self.why_not = _unfit(info)

    def __enter__(self) -> FixedPerformance:
        """Switch it on, if the device is a phone and has it.

        Raises:
            DeviceError: the device does not answer.
        """
        if self.why_not:
            return self
        # Before the mode is on, there is somebody to switch it off.
        self._shell = CleanupShell(self._adb.connection, f"{_SWITCH} false >/dev/null 2>&1 </dev/null")
        try:
            code, said = self._shell.run(f"{_SWITCH} true")
        except BaseException:
            self._shell.close()
            raise
        self.on = code == 0
        self.why_not = "" if self.on else f"the device refuses: {' '.join(said.split()) or f'exit code {code}'}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shell is not None:
            self._shell.close()


def _unfit(info: DeviceInfo) -> str:
    if info.kind != "physical":
        return f"{info.spec} is {info.kind}, only a phone has it"
    api = info.properties.get("ro.build.version.sdk", "")
    if not api.isdecimal() or int(api) < _FIRST_API:
        return f"it came with Android 11 (API {_FIRST_API}), {info.spec} has API {api or 'unknown'}"
    return ""
