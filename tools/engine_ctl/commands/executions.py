"""``engine-ctl executions``: what ran, whether it can be repeated, and how two of them compare."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from engine_ctl.answer_output import answer_json, show_answer
from engine_ctl.command_group import CommandGroup
from engine_ctl.completions import complete_execution
from engine_ctl.exit_codes import NOT_THE_SAME
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.blocking import BlockingClient
    from protocol.record_answers import Compared, RecordsPruned
    from protocol.record_entry import FinishedEntry, InterruptedEntry

Command = TypeVar("Command", bound=Callable[..., Any])
_PAGE = 100
_FILTERS = {
    "model": "Only those of this model.",
    "quantization": "Only those in this quantization.",
    "stop_reason": "Only those that ended so.",
    "since": "Recorded at this time (ISO 8601) or later.",
    "until": "Recorded before this time.",
}


@click.group(name="executions", cls=CommandGroup)
def command() -> None:
    """List, show, compare, verify and export recorded executions."""


def filter_options(function: Command) -> Command:
    """Add the flags that choose executions."""
    for name, meaning in reversed(_FILTERS.items()):
        function = click.option(f"--{name.replace('_', '-')}", help=meaning)(function)
    return function


@command.command(name="ls")
@filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="Largest number to list.  [default: 20]")
@socket_option
@json_option
def ls(limit: int, socket: Path | None, as_json: bool, **wanted: str | None) -> None:
    """List executions, the newest first."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution_lines import summary_line
    from protocol.requests import ListExecutions

    chosen = _filter(wanted)
    with connect_or_embed(socket) as client:
        listed = client.ask(ListExecutions(wanted=chosen, limit=limit))
    show_answer(listed, map(summary_line, listed.executions), as_json=as_json)
    if not listed.executions and not as_json:
        click.echo("no executions are recorded" if chosen == _filter({}) else "no recorded execution is so", err=True)


@command.command(name="show")
@click.argument("execution_id", shell_complete=complete_execution)
@socket_option
@json_option
def show(execution_id: str, socket: Path | None, as_json: bool) -> None:
    """Show one execution: its plan, its answer and what it cost."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution_lines import entry_lines
    from protocol.requests import GetExecution

    with connect_or_embed(socket) as client:
        told = client.ask(GetExecution(execution_id=execution_id))
    show_answer(told, entry_lines(told.entry), as_json=as_json)


@command.command(name="compare")
@click.argument("a", shell_complete=complete_execution)
@click.argument("b", shell_complete=complete_execution)
@click.option(
    "--differing",
    "--experiment",
    "differing",
    metavar="FIELDS",
    help="Fields of the plan that may differ, such as quantization,threads; without this flag B must repeat A.",
)
@socket_option
@json_option
@click.pass_context
def compare(ctx: click.Context, a: str, b: str, differing: str | None, socket: Path | None, as_json: bool) -> None:
    """Compare execution B with A: as a repeat of one plan, or as a variant of it.

    A repeat ends with exit code 8 where its output differs or a figure is beyond its tolerance.
    """
    from engine_ctl.connection import connect_or_embed

    fields = None if differing is None else tuple(name.strip() for name in differing.split(",") if name.strip())
    with connect_or_embed(socket) as client:
        compared = _compare(client, a, b, fields)
    _show_comparison(compared, as_json)
    if compared.repeat is not None and compared.repeat.repeated is False:
        ctx.exit(NOT_THE_SAME)


@command.command(name="verify")
@click.argument("execution_id", required=False, shell_complete=complete_execution)
@click.option("--chain", is_flag=True, help="Check instead that nothing in the store of records was changed.")
@click.option(
    "--witness", metavar="SEQUENCE:HASH", help="With --chain: a head noted earlier, which the chain must still contain."
)
@socket_option
@json_option
@click.pass_context
def verify(
    ctx: click.Context,
    execution_id: str | None,
    *,
    chain: bool,
    witness: str | None,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Run an execution again and compare every bit; or, with --chain, check the store of records.

    Exit code 8 where the output differs, or the chain is broken.
    """
    from engine_ctl.connection import connect_or_embed

    if chain == (execution_id is not None):
        raise click.UsageError("give either an execution or --chain")
    if witness is not None and not chain:
        raise click.UsageError("--witness needs --chain")
    with connect_or_embed(socket) as client:
        same = (
            _verify_chain(client, witness, as_json) if execution_id is None else _verify(client, execution_id, as_json)
        )
    if not same:
        ctx.exit(NOT_THE_SAME)


@command.command(name="export")
@filter_options
@click.option("--format", "form", type=click.Choice(("ndjson", "json", "csv")), default="ndjson", show_default=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    default="-",
    help="File to write, whole or not at all.  [default: standard output]",
)
@socket_option
def export(form: str, output: Path, socket: Path | None, **wanted: str | None) -> None:
    """Write whole entries, newest first: as JSON lines, as one JSON array, or the figures as CSV."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.execution_export import WRITERS, opened

    with connect_or_embed(socket) as client, opened(output) as file:
        WRITERS[form](_entries(client, wanted), file)


@command.command(name="prune")
@click.option("--before", required=True, metavar="TIME", help="Remove what was recorded before this time (ISO 8601).")
@click.option(
    "--direct", is_flag=True, help="Remove them from the records' own file, whatever the engine that listens permits."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Count what would be removed, and remove nothing.")
@socket_option
@json_option
def prune(before: str, *, direct: bool, yes: bool, dry_run: bool, socket: Path | None, as_json: bool) -> None:
    """Remove the oldest executions. The chain records the removal and continues from there.

    On a terminal it asks first. An engine that listens removes them only if it was started with --allow-prune.
    """
    from engine_ctl.connection import connect_or_embed, embed
    from protocol.requests import PruneRecords

    moment = _moment("before", before)
    with embed() if direct else connect_or_embed(socket) as client:
        counted = client.ask(PruneRecords(recorded_before=moment, dry_run=True))
        if dry_run:
            _show_counted(counted, as_json=as_json)
            return
        # What is not permitted is refused at once: no question comes before it.
        if counted.permitted and not yes and sys.stdin.isatty():
            click.confirm(f"Remove {counted.executions} executions recorded before {moment}?", abort=True, err=True)
        removed = client.ask(PruneRecords(recorded_before=moment)).executions
    click.echo(json.dumps({"executions": removed}) if as_json else f"{removed} removed")


def _show_counted(counted: RecordsPruned, *, as_json: bool) -> None:
    """What a removal would come to: how many records, or that there would be none."""
    if as_json:
        click.echo(json.dumps({"executions": counted.executions, "permitted": counted.permitted}))
        return
    click.echo(f"{counted.executions} would be removed")
    if not counted.permitted:
        click.echo(
            "not by the engine that listens, which was started without --allow-prune: give --direct to remove them "
            "from the records' own file",
            err=True,
        )


def _compare(client: BlockingClient, a: str, b: str, differing: tuple[str, ...] | None) -> Compared:
    from protocol.errors import IncomparableExecutions
    from protocol.plan import ExecutionPlan
    from protocol.requests import CompareExecutions

    try:
        return client.ask(CompareExecutions(a=a, b=b, differing=differing))
    except IncomparableExecutions as error:
        fields = dict.fromkeys(str(each["field"]).partition(".")[0] for each in error.params.get("differences", ()))
        if allowed := [*(differing or ()), *(name for name in fields if name in ExecutionPlan.model_fields)]:
            told = f"{error.message}; to compare them all the same: --differing {','.join(allowed)}"
            raise IncomparableExecutions(told, **error.params) from error
        raise


def _verify(client: BlockingClient, execution_id: str, as_json: bool) -> bool:
    """Whether the output is the same; the figures are shown, and judge nothing here."""
    from engine_ctl.execution import follow
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import Replay

    with ProgressBar(quiet=as_json) as bar:
        finished = follow(client, client.follow(Replay(execution_id=execution_id)), lambda text: None, bar.show)
    if finished.unrecorded:
        raise click.ClickException(f"the replay could not be recorded, and so not compared: {finished.unrecorded}")
    compared = _compare(client, execution_id, finished.record.execution_id, None)
    _show_comparison(compared, as_json)
    return compared.repeat is not None and compared.repeat.output.same


def _verify_chain(client: BlockingClient, witness: str | None, as_json: bool) -> bool:
    from engine_ctl.execution_lines import pruning_line
    from protocol.requests import VerifyRecords

    position = None if witness is None else _position(witness)
    report = client.ask(VerifyRecords(witness=position)).report
    if as_json:
        click.echo(report.model_dump_json())
    else:
        click.echo(f"{report.entries} entries read; the chain ends at {report.head.sequence}:{report.head.hash}")
        for pruning in report.prunings:
            click.echo(pruning_line(pruning))
        click.echo("whole" if report.fault is None else f"broken at {report.fault.sequence}: {report.fault.reason}")
    return report.fault is None


def _show_comparison(compared: Compared, as_json: bool) -> None:
    from engine_ctl.execution_lines import repeat_lines, variant_lines

    if as_json:
        click.echo(answer_json(compared))
    elif compared.repeat is not None:
        click.echo("\n".join(repeat_lines(compared.repeat)))
    elif compared.variant is not None:
        click.echo("\n".join(variant_lines(compared.variant)))


def _entries(client: BlockingClient, wanted: dict[str, str | None]) -> Iterator[FinishedEntry | InterruptedEntry]:
    from protocol.requests import GetExecution, ListExecutions

    chosen, before = _filter(wanted), None
    while True:
        page = client.ask(ListExecutions(wanted=chosen, limit=_PAGE, before=before)).executions
        for summary in page:
            name = summary.execution_id
            yield client.ask(GetExecution(execution_id=name)).entry
        if len(page) < _PAGE:
            return
        before = page[-1].sequence


def _filter(wanted: dict[str, str | None]) -> Any:
    from protocol.record_entry import RecordFilter

    given = {name: value for name, value in wanted.items() if value is not None}
    given |= {name: _moment(name, given[name]) for name in ("since", "until") if name in given}
    try:
        return RecordFilter.model_validate(given)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _moment(option: str, given: str) -> str:
    from protocol.record_entry import moment_of, timestamp

    try:
        moment = moment_of(given)
        return timestamp(moment.astimezone() if moment.tzinfo is None else moment)
    except (ValueError, OverflowError) as error:  # in UTC it may be before the first year, or after the last
        told = f"--{option} is {given!r}; give a time such as 2026-01-31 or 2026-01-31T18:00:00Z"
        raise click.UsageError(told) from error


def _position(given: str) -> Any:
    from protocol.record_entry import ChainPosition

    sequence, _, head = given.partition(":")
    try:
        return ChainPosition(sequence=int(sequence), hash=head)
    except ValueError as error:
        raise click.UsageError(f"--witness: {given!r} is not SEQUENCE:HASH as --chain prints it") from error
