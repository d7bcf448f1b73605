"""``engine-ctl serve``: the engine itself."""

from __future__ import annotations

from pathlib import Path

import click

from engine_ctl.options import socket_option


@click.command(name="serve")
@socket_option
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where models are kept and found by name.  [default: $ENGINE_MODELS_DIR, else the user's data folder]",
)
def command(socket: Path | None, models_dir: Path | None) -> None:
    """Run the engine in the foreground.

    Prints the socket's path on stderr once it listens. SIGTERM or Ctrl-C ends what runs, answers what is queued, and
    exits 0.
    """
    from engine_ctl.embedded import serve

    serve(socket, models_dir, ready=_announce)


def _announce(socket: Path) -> None:
    click.echo(f"listening on {socket}", err=True)
