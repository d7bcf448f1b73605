"""``auton run``: a goal, pursued to its end."""

from __future__ import annotations

import hashlib
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from auton.commands.options import config_option, repository_option, run_option
from auton.errors import AutonError
from auton.settings import Settings, load_settings
from auton.text import shown, whole

if TYPE_CHECKING:
    from auton.provider import Provider
    from auton.sandbox import Sandbox

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_NOT_ACCEPTED = 8


@click.command(name="run")
@click.argument("goal")
@config_option
@repository_option
@run_option
@click.option("--script", type=click.Path(path_type=Path), help="Take answers from this file, and ask no model.")
def command(*, goal: str, config_path: Path, folder: Path, name: str | None, script: Path | None) -> None:
    """Pursue GOAL in a Git repository. What comes of it is on a branch of its own, auton/NAME/joined.

    Killed or out of budget, the same command goes on: no answer is asked for twice.
    """
    import trio

    from auton.budget import Budget
    from auton.orchestrator import Orchestrator
    from auton.repository import Repository

    settings = load_settings(config_path)
    if goal != whole(goal):
        raise AutonError("the goal is not UTF-8")
    name = name or hashlib.sha256(goal.encode()).hexdigest()[:8]
    if not _NAME.fullmatch(name):
        raise AutonError(f"{name!r} names no run: small letters, digits and hyphens do")
    budget = Budget(settings.budget, time.monotonic)
    orchestrator = Orchestrator(
        Repository(folder),
        name,
        settings,
        _provider(script),
        budget,
        _isolation(settings),
        lambda line: click.echo(shown(line), err=True),
    )
    ended = trio.run(orchestrator.run, goal, _now())
    cost = "unknown" if budget.cost is None else f"${budget.cost:.4f}"
    click.echo(f"{'accepted' if ended.accepted else 'not accepted'}: {shown(ended.remark)}")
    click.echo(f"{budget.calls} answers, {budget.tokens:,} tokens, {budget.joules:,.0f} J known, cost {cost}", err=True)
    if not ended.accepted:
        raise SystemExit(_NOT_ACCEPTED)


def _now() -> int:
    """Seconds since 1970, or those of ``SOURCE_DATE_EPOCH``: with it, the same answers make the same commits."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given and not given.isdecimal():
        raise AutonError(f"SOURCE_DATE_EPOCH is {given!r}, and no seconds since 1970")
    return int(given) if given else int(time.time())


def _provider(script: Path | None) -> Provider:
    from auton.provider import LiteLlmProvider, ScriptedProvider

    return LiteLlmProvider() if script is None else ScriptedProvider(script)


def _isolation(settings: Settings) -> Sandbox | None:
    """``None`` where there is nothing to run; else there must be one."""
    from auton.sandbox import Sandbox

    return Sandbox() if settings.validation.runs_something else None
