"""``engine-ctl cache``: derived weights on disk, and the prefixes of prompts in the engine's memory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.answer_output import answer_json
from engine_ctl.command_group import CommandGroup
from engine_ctl.exit_codes import EXIT_CODES
from engine_ctl.options import json_option, socket_option

if TYPE_CHECKING:
    from protocol.summaries import CachedWeightsEntry


@click.group(name="cache", cls=CommandGroup)
def command() -> None:
    """List, check and remove cached weights; clear the cache of prompts."""


@command.command(name="path")
@socket_option
def path(socket: Path | None) -> None:
    """Print the directory."""
    from engine_ctl.connection import connect_or_embed
    from protocol.cached_weights_messages import ListCached

    with connect_or_embed(socket) as client:
        click.echo(client.ask(ListCached()).directory)


@command.command(name="ls")
@socket_option
@json_option
def ls(socket: Path | None, as_json: bool) -> None:
    """List the cached weights, most recently used first."""
    from engine_ctl.connection import connect_or_embed
    from protocol.cached_weights_messages import ListCached

    with connect_or_embed(socket) as client:
        listed = client.ask(ListCached())
    if as_json:
        click.echo(answer_json(listed))
        return
    for entry in listed.entries:
        click.echo(_line(entry))
    used = sum(entry.size_bytes for entry in listed.entries)
    click.echo(f"{used / 10**6:,.1f} of {listed.limit_bytes / 10**6:,.1f} MB in {listed.directory}", err=True)


def _line(entry: CachedWeightsEntry) -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at))
    state = "in use" if entry.in_use else used
    return f"{entry.name}  {entry.recipe:8} {entry.size_bytes / 10**6:>10,.1f} MB  {state:16}  {entry.model}"


@command.command(name="rm")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove everything that no engine uses.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@socket_option
@json_option
def rm(names: tuple[str, ...], *, everything: bool, yes: bool, socket: Path | None, as_json: bool) -> None:
    """Remove weights by name, or all with --all, which asks at a terminal. Weights in use are never removed."""
    from engine_ctl.connection import connect_or_embed
    from protocol.cached_weights_messages import RemoveCached

    if everything == bool(names):
        raise click.UsageError("give either names or --all")
    with connect_or_embed(socket) as client:
        if everything and not yes and sys.stdin.isatty():
            click.confirm("Remove all cached weights that no engine uses?", abort=True, err=True)
        removed = client.ask(RemoveCached(names=names))
    if as_json:
        click.echo(answer_json(removed))
    else:
        click.echo(f"removed {len(removed.names)}")


@command.command(name="verify")
@click.argument("names", nargs=-1)
@socket_option
@json_option
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], socket: Path | None, as_json: bool) -> None:
    """Check the named weights, or all, against the digests taken when they were made."""
    from engine_ctl.connection import connect_or_embed
    from protocol.cached_weights_messages import VerifyCached

    with connect_or_embed(socket) as client:
        verified = client.ask(VerifyCached(names=names))
    if as_json:
        click.echo(answer_json(verified))
    else:
        for name, damage in verified.damages.items():
            click.echo(f"{name}  {damage or 'whole'}")
    if any(verified.damages.values()):
        ctx.exit(EXIT_CODES["invalid_model"])


@command.command(name="clear-prefixes")
@socket_option
@json_option
def clear_prefixes(socket: Path | None, as_json: bool) -> None:
    """Clear the running engine's prefix cache. Executions that run are undisturbed."""
    from engine_ctl.connection import ANSWER_S
    from protocol.blocking import BlockingClient
    from protocol.requests import ClearPrefixCache

    with BlockingClient.connect(socket, ANSWER_S) as client:
        client.ask(ClearPrefixCache())
    if as_json:
        click.echo(json.dumps({"cleared": "prefixes"}))
    else:
        click.echo("cleared", err=True)
