"""Runs `weos-agents`, in this process or in one of its own."""

from __future__ import annotations

import sys

from click.testing import CliRunner, Result

from weos_agents.main import main

PROGRAM = (sys.executable, "-c", "from weos_agents.main import main; main(prog_name='weos-agents')")


def weos_agents(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments, prog_name="weos-agents")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
