"""The command line's outermost edge: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys

from foundation.errors import EdgecatError, ExitCode

# How what was interrupted is gone on with, by command.
_GOES_ON = {
    "run": "edgecat run --resume --out DIR goes on with a run",
    "attack": "the same command with the same --out goes on where it ended",
    "sweep": "the same command goes on where it ended",
}


def main() -> None:
    """Run the command line; see `edgecat --help`."""
    # Threads of OpenMP that wait by spinning starve everything else on a small or busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Runtimes narrate at start-up; errors still come through.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from edgecat.cli import WrongUsage, app

    try:
        # Not standalone: Typer would tell wrong usage in several lines, and an interruption in none.
        code = app(prog_name="edgecat", standalone_mode=False)
    except EdgecatError as error:
        code = _fail(error.message, error.hint, error.exit_code)
    except WrongUsage as error:
        code = _usage(error)
    if code == ExitCode.INTERRUPTED:
        _fail("interrupted", _GOES_ON.get("".join(sys.argv[1:2])), ExitCode.INTERRUPTED)
    sys.exit(code)


def _usage(error: Exception) -> int:
    """A command without arguments shows its help, on stderr; everything else is one line."""
    context = getattr(error, "ctx", None)
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{error}\n")
        return int(ExitCode.USAGE)
    words = error.format_message()  # type: ignore[attr-defined]
    return _fail(words, f"{context.command_path} --help", ExitCode.USAGE)


def _fail(message: str, hint: str | None, code: ExitCode) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n" if hint is None else f"error: {line}\n hint: {hint}\n")
    return int(code)


if __name__ == "__main__":
    main()
