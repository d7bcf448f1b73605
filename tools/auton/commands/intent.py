"""``auton intent``: what a text wants, by ``slm.backend``."""

from __future__ import annotations

from pathlib import Path

import click

from auton.commands.options import config_option
from auton.settings import load_settings
from auton.text import shown


@click.command(name="intent")
@click.argument("text")
@config_option
def command(*, text: str, config_path: Path) -> None:
    """Print which of slm.intents TEXT has, or `unknown`; why is told on stderr.

    slm.backend says how: rule_engine counts their words, neural_backend asks llm.model, held to their names.
    """
    from auton.intent import classify
    from auton.provider import LiteLlmProvider

    found = classify(text, load_settings(config_path), LiteLlmProvider())
    click.echo(shown(found.reason), err=True)
    click.echo(found.name or "unknown")
