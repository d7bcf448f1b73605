"""``engine-ctl models``: what there is to run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine_ctl.options import Model, json_option, socket_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.messages import ModelDescription, ModelSummary, Progress


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

    with connect_or_embed(socket) as client:
        description = _follow(client.pull_model(name), show=not as_json)
    if as_json:
        click.echo(description.model_dump_json(include={"name", "path", "size_bytes", "architecture"}))
    else:
        click.echo(description.path)


def _follow(messages: Iterable[Progress | ModelDescription], show: bool) -> ModelDescription:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    from protocol.errors import BadFrame
    from protocol.messages import ModelDescription

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=Console(stderr=True), disable=not show, transient=True) as bar:
        tasks = {}
        for message in messages:
            if isinstance(message, ModelDescription):
                return message
            if message.stage not in tasks:
                tasks[message.stage] = bar.add_task(message.stage)
            bar.update(tasks[message.stage], completed=message.done, total=message.total)
    raise BadFrame("the engine ended the download without the model's description")


@command.command(name="inspect")
@click.argument("model", type=Model())
@click.option("--tensors", is_flag=True, help="List every tensor.")
@socket_option
@json_option
def inspect(model: str, tensors: bool, socket: Path | None, as_json: bool) -> None:
    """Show a GGUF's metadata and tensors, by registry name or path. Nothing is loaded."""
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
    ]


def _clipped(value: object) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 100 else text[:97] + "..."
