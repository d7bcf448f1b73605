"""``engine-ctl plans``: plans behind names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from engine_ctl.answer_output import answer_json, show_answer
from engine_ctl.command_group import CommandGroup
from engine_ctl.commands.proposals import agent_options
from engine_ctl.options import json_option, socket_option


@click.group(name="plans", cls=CommandGroup)
def command() -> None:
    """List, show and roll back named plans; `proposals apply` puts one behind a name."""


@command.command(name="ls")
@socket_option
@json_option
def ls(socket: Path | None, as_json: bool) -> None:
    """List the newest version of every named plan; with --json each is whole."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.proposal_lines import plan_line
    from protocol.proposal_messages import NamedPlans

    with connect_or_embed(socket) as client:
        listed = client.ask(NamedPlans())
    show_answer(listed, map(plan_line, listed.plans), as_json=as_json)
    if not listed.plans and not as_json:
        click.echo("no plan is behind a name", err=True)


@command.command(name="show")
@click.argument("name")
@socket_option
@json_option
def show(name: str, socket: Path | None, as_json: bool) -> None:
    """Show the plan behind a name. With --json it can be given to `run --plan`."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.proposal_lines import plan_line
    from protocol.proposal_messages import GetNamedPlan

    with connect_or_embed(socket) as client:
        newest = client.ask(GetNamedPlan(name=name)).versions[0]
    if as_json:
        click.echo(newest.named_plan.model_dump_json())
        return
    click.echo(plan_line(newest))
    click.echo(newest.named_plan.plan.model_dump_json(indent=2))


@command.command(name="history")
@click.argument("name")
@socket_option
@json_option
def history(name: str, socket: Path | None, as_json: bool) -> None:
    """List every version behind a name, the newest first."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.proposal_lines import plan_line
    from protocol.proposal_messages import GetNamedPlan

    with connect_or_embed(socket) as client:
        shown = client.ask(GetNamedPlan(name=name))
    show_answer(shown, map(plan_line, shown.versions), as_json=as_json)


@command.command(name="roll-back")
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="Version to go back to.  [default: one step further back]")
@click.option("--newest", type=click.IntRange(1), help="Only where this version is still the newest.")
@agent_options
@socket_option
@json_option
def roll_back(name: str, socket: Path | None, as_json: bool, **said: Any) -> None:
    """Put an earlier version's plan behind a name again, as a version of its own. Again goes one step further back."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.proposal_lines import plan_line
    from protocol.proposal_messages import RollBackPlan

    with connect_or_embed(socket) as client:
        applied = client.ask(RollBackPlan(name=name, **said))
    click.echo(answer_json(applied) if as_json else plan_line(applied.version))
