"""One error root, a few leaves. Each leaf has the exit code that the command line documents.

A message says what was tried and what came back; `hint` says what the reader can do about it. The command line prints
both on one line, without a traceback: tracebacks are for bugs.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every edgecat command."""

    DONE = 0
    CHECK_FAILED = 1
    USAGE = 2
    DEVICE = 3
    DATA = 4
    BUDGET = 5
    INTERRUPTED = 130


class EdgecatError(Exception):
    """Root of every error that edgecat raises on purpose.

    Args:
        message: what was tried and what went wrong, in one line.
        hint: what to do about it, in one line; None where nothing honest can be said.
    """

    exit_code: ExitCode = ExitCode.CHECK_FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} (hint: {self.hint})" if self.hint else self.message


class CheckFailed(EdgecatError):
    """A check that the user asked for did not hold (parity gate, `compare --fail-on`)."""

    exit_code = ExitCode.CHECK_FAILED


class UsageError(EdgecatError):
    """Wrong settings: an unknown recipe, a budget of 0, a directory that cannot be written."""

    exit_code = ExitCode.USAGE


class DeviceError(EdgecatError):
    """The device, or the way to it, failed.

    Args:
        message: what was tried.
        device: the device's spec or serial.
        exit_status: exit code of the command on the device, if one ran.
        stderr: the device's own words.
        hint: what to do about it.
    """

    exit_code = ExitCode.DEVICE

    def __init__(
        self,
        message: str,
        *,
        device: str | None = None,
        exit_status: int | None = None,
        stderr: str | None = None,
        hint: str | None = None,
    ) -> None:
        parts = [message]
        if device:
            parts.append(f"on {device}")
        if exit_status is not None:
            parts.append(f"[exit code {exit_status}]")
        if stderr and stderr.strip():
            parts.append(f"device says: {' | '.join(stderr.strip().splitlines()[-3:])}")
        super().__init__(" ".join(parts), hint=hint)
        self.device = device
        self.exit_status = exit_status
        self.stderr = stderr


class AuthError(DeviceError):
    """The device does not accept our key."""


class ProtocolError(DeviceError):
    """The other side of a connection broke the protocol: wrong magic, version, checksum or size."""


class ArtifactError(EdgecatError):
    """A model file or its manifest is torn, foreign or of the wrong kind."""

    exit_code = ExitCode.DATA


class OperatorMissingError(ArtifactError):
    """A runtime has no kernel for one of a model's operators; another build of it may."""


class DataError(EdgecatError):
    """A data set, ledger or record cannot be used as it is."""

    exit_code = ExitCode.DATA


class BudgetError(EdgecatError):
    """The query budget is spent."""

    exit_code = ExitCode.BUDGET


def first_line(error: BaseException) -> str:
    """What somebody else's error says, cut to its first line that is not empty; its type where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
