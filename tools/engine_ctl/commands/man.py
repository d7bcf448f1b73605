"""``engine-ctl man``: the manual pages, made from the commands themselves."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="man")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def command(folder: Path) -> None:
    """Write a manual page of every command into FOLDER, such as ~/.local/share/man/man1."""
    from importlib.metadata import version

    from engine_ctl.main import main
    from engine_ctl.manual_page import manual_pages

    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, page in manual_pages(main, "engine-ctl", version("weos-engine")):
        (folder / name).write_text(page, encoding="utf-8")
        count += 1
    click.echo(f"{count} pages in {folder}", err=True)
