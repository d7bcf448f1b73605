"""``engine-ctl serve``: the engine itself."""

from __future__ import annotations

from pathlib import Path

import click

from engine_ctl.options import socket_option, tdp_watts_option


@click.command(name="serve")
@socket_option
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the models that are found by name.  [default: $ENGINE_MODELS_DIR, else the user's data folder]",
)
@click.option(
    "--drain-s",
    type=click.FloatRange(min=0, max=86_400),
    default=10.0,
    show_default=True,
    help="Seconds that running executions have to finish once the engine must stop.",
)
@click.option(
    "--energy-source",
    help="Energy source of plans that leave it open: perf, rapl, hwmon, meter, model, none.  "
    "[default: $ENGINE_ENERGY_SOURCE, else the best that measures]",
)
@tdp_watts_option
def command(
    socket: Path | None, models_dir: Path | None, drain_s: float, energy_source: str | None, tdp_watts: float | None
) -> None:
    """Run the engine in the foreground.

    Prints the socket's path on stderr once it listens. At SIGTERM or Ctrl-C it refuses new work, answers queued
    requests, gives running executions time to finish, and exits with 0; a second signal skips the wait. A service
    manager may pass the socket (LISTEN_FDS) and is notified of readiness (NOTIFY_SOCKET).
    """
    from engine_ctl.embedded import configured, serve

    serve(configured(models_dir, energy_source, tdp_watts), socket, drain_s, note=_note)


def _note(line: str) -> None:
    click.echo(line, err=True)
