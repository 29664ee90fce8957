"""The command line's outermost edge: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys

from foundation.errors import EdgecatError, ExitCode


def main() -> None:
    """Run the command line; see `edgecat --help`."""
    # Threads of OpenMP that wait by spinning starve everything else on a small or busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Runtimes narrate at start-up; errors still come through.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from edgecat.cli import app

    try:
        app(prog_name="edgecat")
    except EdgecatError as error:
        sys.exit(_fail(error.message, error.hint, error.exit_code))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted", "a run goes on with edgecat run --resume", ExitCode.INTERRUPTED))
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(ExitCode.DONE)


def _fail(message: str, hint: str | None, code: ExitCode) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n" if hint is None else f"error: {line}\n hint: {hint}\n")
    return int(code)


if __name__ == "__main__":
    main()
