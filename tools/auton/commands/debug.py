"""``auton debug``: what a role answered about a task."""

from __future__ import annotations

from pathlib import Path

import click

from auton.commands.options import repository_option
from auton.errors import AutonError
from auton.settings import ROLES


@click.command(name="debug")
@click.option("--agent", "role", required=True, type=click.Choice(ROLES), help="The role.")
@click.option("--task", required=True, help="The task; the manager's and the tester's is `goal`.")
@click.option("--run", "name", required=True, metavar="NAME", help="The run.")
@repository_option
def command(*, role: str, task: str, name: str, folder: Path) -> None:
    """Print every answer of a role about a task, turn by turn, with its calls and what it took."""
    from auton.journal import Answered, GivenUp, Merged, entries_of
    from auton.orchestrator import Orchestrator
    from auton.repository import Repository
    from auton.text import shown

    path = Orchestrator.journal_path(Repository(folder), name)
    if not path.exists():
        raise AutonError(f"there is no run {name}")
    entries = entries_of(path)
    answers = [one for one in entries if isinstance(one, Answered) and one.key.startswith(f"{role}/{task}/")]
    if not answers:
        raise AutonError(f"run {name} has no answer of {role} about {task}")
    for answer in answers:
        usage, (_, _, attempt, turn) = answer.reply.usage, answer.key.split("/")
        tokens = f"{usage.prompt_tokens} + {usage.completion_tokens} tokens"
        joules = "joules unknown" if usage.joules is None else f"{usage.joules:.1f} J"
        click.echo(f"attempt {attempt}, turn {turn}: {shown(answer.model)}, {tokens}, {joules}")
        for line in (answer.reply.text, *(f"{call.name}({call.arguments})" for call in answer.reply.calls)):
            if line:
                click.echo(f"  {shown(line)}")
    for entry in entries:
        if isinstance(entry, Merged) and entry.task == task:
            click.echo(f"merged as {entry.commit}")
        elif isinstance(entry, GivenUp) and entry.task == task:
            click.echo(f"given up: {shown(entry.reason)}")
