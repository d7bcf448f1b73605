"""``engine-ctl completion``: what lets a shell complete commands, flags, models and quantizations."""

from __future__ import annotations

import click

_SHELLS = ("bash", "zsh", "fish")


@click.command(name="completion")
@click.argument("shell", type=click.Choice(_SHELLS))
def command(shell: str) -> None:
    """Print what lets a shell complete commands, flags, models and quantizations.

    \b
    eval "$(engine-ctl completion bash)"     # in ~/.bashrc
    eval "$(engine-ctl completion zsh)"      # in ~/.zshrc, after compinit
    engine-ctl completion fish > ~/.config/fish/completions/engine-ctl.fish
    """
    from click.shell_completion import get_completion_class

    from engine_ctl.main import main

    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"no completion for {shell}")
    made = completion(main, {}, "engine-ctl", "_ENGINE_CTL_COMPLETE")
    click.echo(made.source_template % made.source_vars())
