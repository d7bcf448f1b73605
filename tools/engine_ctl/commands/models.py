"""``engine-ctl models``: the models of this machine: listing, fetching, inspecting and removing them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.answer_output import answer_json, show_answer
from engine_ctl.command_group import CommandGroup
from engine_ctl.commands.ps import command as ps
from engine_ctl.exit_codes import INTERRUPTED
from engine_ctl.options import json_option, model_parameter, socket_option

if TYPE_CHECKING:
    from protocol.answers import ModelDescription, ModelRemoved
    from protocol.summaries import RecipeSummary


@click.group(name="models", cls=CommandGroup)
def command() -> None:
    """List, fetch, inspect and remove models."""


@command.command(name="ls")
@click.option(
    "--all", "-a", "with_catalogue", is_flag=True, help="List the catalogue's models too, which can be pulled."
)
@socket_option
@json_option
def ls(with_catalogue: bool, socket: Path | None, as_json: bool) -> None:
    """List the models on this machine, incomplete pulls included.

    Memory is what a run over 4,096 tokens needs. A dash means unknown. --json lists the catalogue too.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.model_table import model_lines
    from protocol.requests import ListModels

    with connect_or_embed(socket) as client:
        listed = client.ask(ListModels())
    if as_json:
        click.echo(listed.model_dump_json(include={"models"}))
        return
    here = [model for model in listed.models if model.installed or model.arrived_bytes is not None]
    shown = listed.models if with_catalogue else here
    for line in model_lines(shown) if shown else ():
        click.echo(line)
    if more := len(listed.models) - len(shown):
        click.echo(f"{more} more can be pulled: engine-ctl models ls --all", err=True)


@command.command(name="pull")
@click.argument("name")
@socket_option
@json_option
def pull(name: str, socket: Path | None, as_json: bool) -> None:
    """Fetch a model, check it and print the path of its file.

    NAME is a name of `models ls`; hf:OWNER/REPO[@REVISION][/FILE.gguf | :QUANTIZATION] for a model on the Hugging Face
    Hub, of which any file of a split model brings all; ollama:[NAMESPACE/]NAME[:TAG] for one in Ollama's registry; or
    an address, https://HOST/PATH/FILE.gguf[#sha256=HEX]. Ctrl-C stops the pull, and the next one resumes it.
    """
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.progress_bar import ProgressBar
    from protocol.requests import PullModel

    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        description = bar.ask(client, PullModel(model=name))
    if as_json:
        click.echo(description.model_dump_json(include={"name", "path", "size_bytes", "architecture"}))
    else:
        click.echo(description.path)
        click.echo(f"its name is {description.name}", err=True)


@command.command(name="rm")
@model_parameter
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@socket_option
@json_option
@click.pass_context
def rm(ctx: click.Context, model: str, yes: bool, dry_run: bool, socket: Path | None, as_json: bool) -> None:
    """Remove a model's files, or an incomplete pull. Refused while an execution needs them."""
    from engine_ctl.connection import connect_or_embed
    from protocol.requests import RemoveModel

    if as_json and not (yes or dry_run):
        raise click.UsageError("--json does not ask for confirmation: give --yes or --dry-run")
    with connect_or_embed(socket) as client:
        if not (yes or dry_run) and not _confirmed(client.ask(RemoveModel(model=model, dry_run=True))):
            click.echo("nothing was removed", err=True)
            ctx.exit(INTERRUPTED)
        removed = client.ask(RemoveModel(model=model, dry_run=dry_run))
    if as_json:
        click.echo(answer_json(removed))
        return
    verb = "would remove" if dry_run else "removed"
    click.echo(f"{verb} {removed.name}: {len(removed.paths)} files, {removed.freed_bytes / 10**6:,.1f} MB")
    if removed.derived:
        size = sum(entry.size_bytes for entry in removed.derived)
        names = " ".join(entry.name for entry in removed.derived)
        click.echo(f"weights derived from it stay, {size / 10**6:,.1f} MB: engine-ctl cache rm {names}", err=True)


@command.command(name="unload")
@model_parameter
@socket_option
@json_option
def unload(model: str, socket: Path | None, as_json: bool) -> None:
    """Free the memory that a model's weights take in the running engine. Refused while something uses them."""
    from engine_ctl.connection import ANSWER_S
    from protocol.blocking import BlockingClient
    from protocol.requests import UnloadModel

    with BlockingClient.connect(socket, ANSWER_S) as client:
        client.ask(UnloadModel(model=model))
    if as_json:
        click.echo(json.dumps({"unloaded": model}))
    else:
        click.echo(f"unloaded {model}", err=True)


command.add_command(ps)


def _confirmed(preview: ModelRemoved) -> bool:
    for path in preview.paths:
        click.echo(path, err=True)
    try:
        return click.confirm(f"Remove {preview.name}, {preview.freed_bytes / 10**6:,.1f} MB?", err=True)
    except click.Abort:  # no one is there to answer
        return False


@command.command(name="inspect")
@model_parameter
@click.option("--tensors", is_flag=True, help="List every tensor.")
@socket_option
@json_option
def inspect(model: str, tensors: bool, socket: Path | None, as_json: bool) -> None:
    """Show a GGUF's metadata, tensors, and memory under every quantization. Nothing is loaded."""
    from engine_ctl.connection import connect_or_embed
    from protocol.requests import ModelInfo

    with connect_or_embed(socket) as client:
        description = client.ask(ModelInfo(model=model))
    show_answer(description, lines(description, tensors), as_json=as_json)


def lines(description: ModelDescription, tensors: bool) -> list[str]:
    """The model for a person; its tensors one by one, or counted by type."""
    by_type: dict[str, int] = {}
    for tensor in description.tensors:
        by_type[tensor.type] = by_type.get(tensor.type, 0) + 1
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(by_type.items()))
    in_files = f" in {description.files} files" if description.files > 1 else ""
    width = max((len(tensor.name) for tensor in description.tensors), default=0)
    return [
        f"{description.name}: {description.path}",
        f"GGUF v{description.gguf_version}, {description.architecture}, {description.parameters_total:,} parameters, "
        f"{description.size_bytes / 10**6:,.1f} MB{in_files}",
        *(f"  {key} = {_clipped(value)}" for key, value in description.metadata.items()),
        f"tensors: {len(description.tensors)} ({counted or 'none'})",
        *(f"  {each.name:{width}}  {each.type:5} {list(each.shape)}" for each in description.tensors if tensors),
        *(_recipe_line(recipe) for recipe in description.recipes),
        *_memory_lines(description),
    ]


def _recipe_line(recipe: RecipeSummary) -> str:
    if recipe.file_bytes is None or recipe.weights_bytes is None:
        return f"{recipe.quantization:7} {recipe.reason}"
    types = ", ".join(f"{count} {kind}" for kind, count in recipe.tensor_types.items())
    return (
        f"{recipe.quantization:7} {recipe.file_bytes / 10**6:>9,.1f} MB on disk "
        f"{recipe.weights_bytes / 10**6:>9,.1f} MB in memory  {types}"
    )


def _memory_lines(description: ModelDescription) -> list[str]:
    memory = description.memory
    if memory is None:
        return []
    caches = ", ".join(
        f"{kind} {size / 1000:,.1f} kB a token, {memory.kv_context_bytes[kind] / 10**6:,.1f} MB for all "
        f"{memory.context_length:,}"
        for kind, size in memory.kv_bytes_per_token.items()
    )
    return [f"KV cache: {caches}", f"buffers of a step: {memory.activation_bytes / 10**6:,.1f} MB"]


def _clipped(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
