"""Programs that enter walls in a process of their own, since nobody leaves them again."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from engine.host import landlock

needs_landlock = pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")
needs_scopes = pytest.mark.skipif(
    landlock.version() < landlock.SCOPES_VERSION, reason="this kernel's Landlock leaves signals open"
)
_BEGINNING = """
import errno, os, socket, sys
from pathlib import Path

def tell(name, attempt):
    try:
        attempt()
        print(name, "done")
    except OSError as error:
        print(name, errno.errorcode[error.errno])

"""


def told_by(body: str, *arguments: str | Path) -> dict[str, str]:
    """What ``tell(NAME, ATTEMPT)`` printed of each attempt: ``done``, or the error's name."""
    program = _BEGINNING + textwrap.dedent(body)
    ended = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return dict(line.split(maxsplit=1) for line in ended.stdout.splitlines())
