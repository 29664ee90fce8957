"""What exporters print goes into the log, from whatever floor they print, and nothing after them does."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from edgecat.quiet import log_output
from foundation.errors import UsageError


def test_prints_of_python_and_from_beneath_it_reach_the_log_only(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "made" / "export.log"
    with log_output(log):
        print("from Python")
        print("from Python, an error", file=sys.stderr)
        os.write(1, b"from C\n")
        os.write(2, b"from C, an error\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        warnings.warn("a warning", stacklevel=1)
    print("after")
    assert capfd.readouterr() == ("after\n", "")
    words = log.read_text()
    for line in ("from Python\n", "from Python, an error\n", "from C\n", "from C, an error\n", "from a child\n"):
        assert line in words
    assert "a warning" not in words


def test_the_streams_come_back_after_an_error_and_the_log_grows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "export.log"

    def fail() -> None:
        with log_output(log):
            print("first")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with log_output(log):
        print("second")
    os.write(1, b"seen\n")
    assert capfd.readouterr().out == "seen\n"
    assert log.read_text() == "first\nsecond\n"


def test_a_log_that_cannot_be_written_is_wrong_usage_and_the_streams_stay(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"), log_output(tmp_path / "file" / "export.log"):
        pass
    print("seen")
    assert capfd.readouterr().out == "seen\n"
