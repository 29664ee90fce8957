"""Every error names its exit code, and says in one line what happened and what to do."""

from __future__ import annotations

import pytest

from foundation.errors import (
    ArtifactError,
    AuthError,
    BudgetError,
    CheckFailed,
    DataError,
    DeviceError,
    EdgecatError,
    ProtocolError,
    UsageError,
)


@pytest.mark.parametrize(
    ("leaf", "code"),
    [
        (CheckFailed, 1),
        (UsageError, 2),
        (DeviceError, 3),
        (AuthError, 3),
        (ProtocolError, 3),
        (ArtifactError, 4),
        (DataError, 4),
        (BudgetError, 5),
    ],
)
def test_each_leaf_has_its_exit_code(leaf: type[EdgecatError], code: int) -> None:
    assert leaf("x").exit_code == code


def test_a_hint_stands_behind_the_message() -> None:
    error = UsageError("budget 0", hint="spend something")
    assert str(error) == "budget 0 (hint: spend something)"
    assert error.message == "budget 0"


def test_a_device_error_is_one_line_with_the_device_s_last_words() -> None:
    error = DeviceError("push failed", device="embedded", exit_status=1, stderr="one\ntwo\nthree\nfour\n", hint="again")
    assert str(error) == "push failed on embedded [exit code 1] device says: two | three | four (hint: again)"
    assert (error.device, error.exit_status, error.stderr) == ("embedded", 1, "one\ntwo\nthree\nfour\n")
