"""``weos-agents report``: show what an optimization found, again."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from weos_agents.report.terminal import optimization_view


@click.command(name="report")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def command(folder: Path, *, as_json: bool) -> None:
    """Show the report in FOLDER, and make its page and pictures anew."""
    from weos_agents.report.folder import read_report, write_report

    report = read_report(folder)
    path = write_report(folder, report)
    if as_json:
        click.echo(report.model_dump_json())
        return
    Console().print(optimization_view(report))
    click.echo(f"written: {path}")
