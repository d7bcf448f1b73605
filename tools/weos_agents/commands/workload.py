"""``weos-agents workload``: inputs to experiment with, from what the engine has recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from protocol.blocking import BlockingClient
from protocol.errors import UnknownExecution
from protocol.record_entry import RecordFilter
from protocol.requests import GetExecution, ListExecutions
from weos_agents.commands.options import socket_option
from weos_agents.output_place import require_file, write_output

_PAGE = 50


@click.command(name="workload")
@click.argument("model")
@click.option("--latest", type=click.IntRange(min=1), default=32, show_default=True, help="Different inputs, at most.")
@click.option("--consent", is_flag=True, help="Say that those whose prompts are recorded agree to this. Needed.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write.  [default: standard output]"
)
@socket_option
def command(*, model: str, latest: int, consent: bool, output: Path | None, socket: Path | None) -> None:
    """Write the latest prompts that MODEL, by its name in the records, was asked, as a workload of tokens."""
    if not consent:
        raise click.UsageError("prompts are personal: --consent says that they may be used")
    if output is not None:
        require_file(output, "--output")
    with BlockingClient.connect(socket) as client:
        lines = list(_lines(client, model, latest))
    if not lines:
        raise UnknownExecution(f"no execution of the model {model!r} is recorded", model=model)
    text = "".join(f"{line}\n" for line in lines)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_output(output, text, "--output")


def _lines(client: BlockingClient, model: str, most: int) -> Iterator[str]:
    """Each input once, the latest first."""
    seen: set[tuple[int, ...]] = set()
    before: int | None = None
    while True:
        page = client.ask(ListExecutions(wanted=RecordFilter(model=model), limit=_PAGE, before=before)).executions
        for summary in page:
            prompt = client.ask(GetExecution(execution_id=summary.execution_id)).entry.record.prompt_token_ids
            if prompt not in seen:
                seen.add(prompt)
                yield json.dumps({"prompt_token_ids": prompt})
            if len(seen) >= most:
                return
        if len(page) < _PAGE:
            return
        before = page[-1].sequence
