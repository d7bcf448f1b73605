"""``engine-ctl cache``: derived weights on disk."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from engine_ctl.exit_codes import EXIT_CODES
from engine_ctl.options import json_option

if TYPE_CHECKING:
    from engine_ctl.embedded import CacheEntry, WeightsCache


@click.group(name="cache")
def command() -> None:
    """List, check and remove weights that were quantized before."""


@command.command(name="path")
def path() -> None:
    """Print the directory."""
    click.echo(_cache().directory)


@command.command(name="ls")
@json_option
def ls(as_json: bool) -> None:
    """List what is kept, the weights used last first."""
    import json

    entries = _cache().entries()
    if as_json:
        click.echo(json.dumps({"entries": [_shown(entry) for entry in entries]}))
        return
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used_at))
        state = "in use" if entry.in_use else used
        click.echo(
            f"{entry.name}  {entry.key.recipe:8} {entry.size_bytes / 10**6:>10,.1f} MB  {state:16}  {entry.model}"
        )


@command.command(name="rm")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that no engine uses.")
@json_option
def rm(names: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Remove weights by name. Those in use are refused, and left alone by --all."""
    import json

    cache = _cache()
    if everything == bool(names):
        raise click.UsageError("give either names or --all")
    chosen = [entry.name for entry in cache.entries() if not entry.in_use] if everything else list(names)
    for name in chosen:
        cache.remove(name)
    click.echo(json.dumps({"removed": chosen}) if as_json else f"removed {len(chosen)}")


@command.command(name="verify")
@click.argument("names", nargs=-1)
@json_option
@click.pass_context
def verify(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Compare weights, or all of them, with the digests taken when they were made."""
    import json

    cache = _cache()
    chosen = names or tuple(entry.name for entry in cache.entries())
    damages = {name: cache.verify(name) for name in chosen}
    if as_json:
        click.echo(json.dumps({"entries": [{"name": name, "damage": damage} for name, damage in damages.items()]}))
    else:
        for name, damage in damages.items():
            click.echo(f"{name}  {damage or 'whole'}")
    if any(damages.values()):
        ctx.exit(EXIT_CODES["invalid_model"])


def _shown(entry: CacheEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "path": str(entry.path),
        "model": entry.model,
        "content_hash": entry.key.content_hash,
        "recipe": entry.key.recipe,
        "importance": entry.key.importance,
        "quantizer": entry.key.quantizer,
        "size_bytes": entry.size_bytes,
        "digest": entry.digest,
        "used_at": entry.used_at,
        "in_use": entry.in_use,
    }


def _cache() -> WeightsCache:
    from engine_ctl.embedded import weights_cache

    return weights_cache()
