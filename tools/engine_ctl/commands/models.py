"""``engine-ctl models``: what there is to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.options import Model, json_option, socket_option

if TYPE_CHECKING:
    from protocol.answers import ModelDescription
    from protocol.descriptions import ModelSummary, RecipeSummary


@click.group(name="models")
def command() -> None:
    """List, fetch and inspect models."""


@command.command(name="ls")
@socket_option
@json_option
def ls(socket: Path | None, as_json: bool) -> None:
    """List the models that are here, and those that can be pulled."""
    from engine_ctl.connection import connect_or_embed

    with connect_or_embed(socket) as client:
        listed = client.list_models()
    if as_json:
        click.echo(listed.model_dump_json(include={"models"}))
        return
    for model in listed.models:
        click.echo(_line(model))


def _line(model: ModelSummary) -> str:
    where = model.path if model.installed else "not pulled"
    return f"{model.name:32} {model.size_bytes / 10**6:>10,.1f} MB  {where}"


@command.command(name="pull")
@click.argument("name")
@socket_option
@json_option
def pull(name: str, socket: Path | None, as_json: bool) -> None:
    """Fetch a registry model and check it. Prints the path of its file."""
    from engine_ctl.connection import connect_or_embed
    from engine_ctl.progress_bar import ProgressBar
    from protocol.answers import ModelDescription

    with connect_or_embed(socket) as client, ProgressBar(quiet=as_json) as bar:
        for message in client.pull_model(name):
            if isinstance(message, ModelDescription):
                description = message
            else:
                bar.show(message)
    if as_json:
        click.echo(description.model_dump_json(include={"name", "path", "size_bytes", "architecture"}))
    else:
        click.echo(description.path)


@command.command(name="inspect")
@click.argument("model", type=Model())
@click.option("--tensors", is_flag=True, help="List every tensor.")
@socket_option
@json_option
def inspect(model: str, tensors: bool, socket: Path | None, as_json: bool) -> None:
    """Show a GGUF's metadata and tensors, and what it takes under every quantization. Nothing is loaded."""
    from engine_ctl.connection import connect_or_embed

    with connect_or_embed(socket) as client:
        description = client.model_info(model)
    if as_json:
        click.echo(description.model_dump_json(exclude={"type", "request_id"}))
        return
    for line in lines(description, tensors):
        click.echo(line)


def lines(description: ModelDescription, tensors: bool) -> list[str]:
    """The model for a person; its tensors one by one, or counted by type."""
    by_type: dict[str, int] = {}
    for tensor in description.tensors:
        by_type[tensor.type] = by_type.get(tensor.type, 0) + 1
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(by_type.items()))
    width = max((len(tensor.name) for tensor in description.tensors), default=0)
    return [
        f"{description.name}: {description.path}",
        f"GGUF v{description.gguf_version}, {description.architecture}, {description.parameters_total:,} parameters, "
        f"{description.size_bytes / 10**6:,.1f} MB",
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
        f"{kind} {size / 1000:,.1f} kB a token, {size * memory.context_length / 10**6:,.1f} MB for all "
        f"{memory.context_length:,}"
        for kind, size in memory.kv_bytes_per_token.items()
    )
    return [f"KV cache: {caches}", f"buffers of a step: {memory.activation_bytes / 10**6:,.1f} MB"]


def _clipped(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
