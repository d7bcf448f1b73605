"""Runs `engine-ctl`, in this process or in one of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result

from engine_ctl.main import main

PROGRAM = (sys.executable, "-c", "from engine_ctl.main import main; main(prog_name='engine-ctl')")


def engine_ctl(*arguments: str, stdin: str | bytes | None = None) -> Result:
    """Run a command to its end, in this process; an error that escapes it is raised here.

    ``serve`` does without its sandbox, which this process would not leave again.
    """
    if arguments[:1] == ("serve",):
        arguments = ("serve", "--no-sandbox", *arguments[1:])
    result = CliRunner().invoke(main, arguments, input=stdin, prog_name="engine-ctl")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def start_engine_ctl(
    *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in a process of its own, its streams piped."""
    return subprocess.Popen(  # noqa: S603  our own program
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=env
    )


@contextmanager
def serving(socket: Path, *flags: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """An engine in a process of its own that listens on ``socket``; killed at the end of the block."""
    with start_engine_ctl("serve", "--socket", str(socket), *flags, env=env) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == f"listening on {socket}\n"
            yield process
        finally:
            process.kill()
