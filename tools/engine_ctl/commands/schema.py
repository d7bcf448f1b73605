"""``engine-ctl schema``: JSON Schemas of what programs exchange with the engine."""

from __future__ import annotations

import click

_NAMES = ("plan", "request", "record", "messages", "record_entry", "repeat_verdict", "variant_comparison")


@click.command(name="schema")
@click.argument("name", type=click.Choice(_NAMES))
def command(name: str) -> None:
    """Print the JSON Schema of plans, requests, records or messages."""
    import json

    from protocol.schema import published_schema

    if name == "messages":
        content = {side: published_schema(f"{side}_messages") for side in ("client", "engine")}
    else:
        content = published_schema(name)
    click.echo(json.dumps(content, indent=1))
