"""``engine-ctl proposals``: plans that agents hold for better, with their evidence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine_ctl.answer_output import answer_json, show_answer
from engine_ctl.command_group import CommandGroup
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.proposal import MovedState
    from protocol.proposal_messages import ProposalShown, Propose

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(name="proposals", cls=CommandGroup)
def command() -> None:
    """File, list, show, validate, reject, apply and withdraw proposals."""


def agent_options(function: Command) -> Command:
    """Add ``--agent`` and ``--reason``."""
    for flag, meaning in (("--reason", "Why; kept in the records."), ("--agent", "Who; kept in the records.")):
        function = click.option(flag, default="", help=meaning)(function)
    return function


@command.command(name="add")
@click.option("--plan", metavar="FILE", required=True, help="The plan, such as `plan --json` prints; - is stdin.")
@click.option("--evidence", multiple=True, required=True, help="Id of an experiment, or of an execution; repeatable.")
@click.option("--kpi", required=True, help="The metric that it is better in, such as tokens_per_sec.")
@click.option("--guardrail", multiple=True, metavar="METRIC=MARGIN", help="Not worse by more than 0.05, for example.")
@click.option("--claim", multiple=True, metavar="METRIC=RATIO", help="A median ratio as the evidence has it.")
@click.option("--note", default="", help="What it is about.")
@click.option("--agent", default="", help="Who proposes it.")
@socket_option
@json_option
def add(plan: str, socket: Path | None, as_json: bool, **said: Any) -> None:
    """File a proposal. Evidence that does not support it is refused, with the reasons."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.proposal_lines import proposal_lines

    asked = _propose(plan, said)
    with connect_or_embed(socket) as client:
        proposed = client.ask(asked)
    show_answer(proposed, proposal_lines(proposed.status), as_json=as_json)


@command.command(name="ls")
@click.option("--state", help="Only those that are proposed, validated, rejected, applied or withdrawn.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="Largest number to list.  [default: 20]")
@socket_option
@json_option
def ls(state: str | None, limit: int, socket: Path | None, as_json: bool) -> None:
    """List proposals, the newest first."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.message_source import read_message
    from engine_ctl.proposal_lines import proposal_line
    from protocol.proposal_messages import Proposals

    asked = read_message({"state": state, "limit": limit}, Proposals)
    with connect_or_embed(socket) as client:
        listed = client.ask(asked)
    show_answer(listed, map(proposal_line, listed.proposals), as_json=as_json)
    if not listed.proposals and not as_json:
        click.echo("no proposals are recorded" if state is None else f"no recorded proposal is {state}", err=True)


@command.command(name="show")
@click.argument("proposal_id")
@socket_option
@json_option
def show(proposal_id: str, socket: Path | None, as_json: bool) -> None:
    """Show one proposal: its evidence, and what became of it."""
    from engine_ctl.connection import connect_or_embed
    from protocol.proposal_messages import GetProposal

    with connect_or_embed(socket) as client:
        shown = client.ask(GetProposal(proposal_id=proposal_id))
    _show(shown, as_json)


@command.command(name="validate")
@click.argument("proposal_id")
@agent_options
@socket_option
@json_option
def validate(proposal_id: str, agent: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """Say that a proposal holds. Its experiment must support it on this machine and build."""
    _move(proposal_id, "validated", agent, reason, socket, as_json)


@command.command(name="reject")
@click.argument("proposal_id")
@agent_options
@socket_option
@json_option
def reject(proposal_id: str, agent: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """Say that a proposal does not hold."""
    _move(proposal_id, "rejected", agent, reason, socket, as_json)


@command.command(name="withdraw")
@click.argument("proposal_id")
@agent_options
@socket_option
@json_option
def withdraw(proposal_id: str, agent: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """Take a proposal back."""
    _move(proposal_id, "withdrawn", agent, reason, socket, as_json)


@command.command(name="apply")
@click.argument("proposal_id")
@click.option("--name", required=True, help="The name that the plan is run by from now on, such as chat-default.")
@agent_options
@socket_option
@json_option
def apply(proposal_id: str, name: str, agent: str, reason: str, socket: Path | None, as_json: bool) -> None:
    """Put a validated proposal's plan behind a name."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.message_source import read_message
    from engine_ctl.proposal_lines import plan_line
    from protocol.proposal_messages import ApplyPlan

    said = {"name": name, "proposal": proposal_id, "agent": agent, "reason": reason}
    asked = read_message(said, ApplyPlan)
    with connect_or_embed(socket) as client:
        applied = client.ask(asked)
    click.echo(answer_json(applied) if as_json else plan_line(applied.version))


def _move(proposal_id: str, state: MovedState, agent: str, reason: str, socket: Path | None, as_json: bool) -> None:
    from engine_ctl.connection import connect_or_embed
    from protocol.proposal_messages import MoveProposal

    with connect_or_embed(socket) as client:
        asked = MoveProposal(proposal_id=proposal_id, state=state, agent=agent, reason=reason)
        moved = client.ask(asked)
    _show(moved, as_json)


def _show(shown: ProposalShown, as_json: bool) -> None:
    from engine_ctl.proposal_lines import proposal_lines

    show_answer(shown, proposal_lines(shown.status), as_json=as_json)


def _propose(plan: str, said: dict[str, Any]) -> Propose:
    from engine_ctl.message_source import read_message
    from engine_ctl.plan_source import read_plan
    from protocol.proposal_messages import Propose

    content = {
        "plan": read_plan(plan)["plan"],
        "evidence": said["evidence"],
        "kpi": said["kpi"],
        "guardrails": tuple(_figure("--guardrail", text, "margin") for text in said["guardrail"]),
        "claims": tuple(_figure("--claim", text, "median_ratio") for text in said["claim"]),
        "note": said["note"],
        "agent": said["agent"],
    }
    return read_message(content, Propose)


def _figure(flag: str, text: str, name: str) -> dict[str, Any]:
    metric, _, number = text.partition("=")
    try:
        return {"metric": metric, name: float(number)}
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not of the form METRIC=NUMBER", param_hint=flag) from error
