"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("auton.toml"),
    show_default=True,
    help="What the operator decides.",
)
repository_option = click.option(
    "--repository",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="A folder of the repository.  [default: this one]",
)
run_option = click.option("--run", "name", metavar="NAME", help="Of the run.  [default: made of the goal]")
