"""``engine-ctl serve``: the engine itself."""

from __future__ import annotations

from pathlib import Path

import click

from engine_ctl.options import socket_option, tdp_watts_option
from protocol.address import default_socket_path


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
@click.option(
    "--keep-alive-s",
    type=click.IntRange(min=1),
    help="Seconds for which weights stay in memory that nothing uses.  "
    "[default: $ENGINE_KEEP_ALIVE_S, else until others need the room]",
)
@click.option(
    "--http-socket",
    metavar="PATH|off",
    help="Unix socket of HTTP, for this user alone.  [default: engine-http.sock beside the engine's socket]",
)
@click.option(
    "--http",
    "http_addresses",
    multiple=True,
    metavar="HOST:PORT",
    help="Serve HTTP over TCP too. On a loopback address for programs of this user; elsewhere only with "
    "--http-token-file. Port 0 takes a free one, which is printed. May be repeated.",
)
@click.option(
    "--http-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Ask HTTP clients over TCP for the secret on this file's first line.",
)
@click.option("--http-default-model", metavar="MODEL", help="Answers HTTP requests for no model or an unknown one.")
@click.option(
    "--http-defaults",
    type=click.Path(path_type=Path, dir_okay=False),
    help="JSON of fields that count where an HTTP request has none of its own, such as "
    '{"execution": {"context_length": 8192}}.',
)
@click.option(
    "--http-origin",
    "http_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let web pages of this origin speak to the engine, such as http://localhost:3000. May be repeated.",
)
@click.option("--http-allow-paths", is_flag=True, help="With a secret, let HTTP clients name models by their paths.")
@click.option(
    "--http-allow-manage", is_flag=True, help="Let HTTP clients over TCP pull and remove models, and stop the engine."
)
@click.option(
    "--log-level",
    type=click.Choice(["off", "error", "warning", "info", "debug"]),
    default="warning",
    show_default=True,
    help="Log events of this level and above on stderr, a line for each: faults are errors, refusals warnings, what "
    "begins and ends info.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of these lines; in text they begin with their priority where a journal takes them.",
)
@click.option(
    "--log-client-text", is_flag=True, help="Log what clients wrote too, where an error's message repeats it."
)
@click.option("--allow-prune", is_flag=True, help="Let clients remove old records; the chain says what was removed.")
@click.option("--models-only", is_flag=True, help="Refuse requests that name a file: models go by their names alone.")
@click.option(
    "--no-sandbox",
    "sandbox",
    is_flag=True,
    default=True,
    flag_value=False,
    help="Keep files, network and system calls that the engine does not need. Records say so.",
)
def command(
    *,
    socket: Path | None,
    models_dir: Path | None,
    drain_s: float,
    energy_source: str | None,
    tdp_watts: float | None,
    keep_alive_s: int | None,
    http_socket: str | None,
    http_addresses: tuple[str, ...],
    http_token_file: Path | None,
    http_default_model: str | None,
    http_defaults: Path | None,
    http_origins: tuple[str, ...],
    http_allow_paths: bool,
    http_allow_manage: bool,
    log_level: str,
    log_format: str,
    log_client_text: bool,
    allow_prune: bool,
    models_only: bool,
    sandbox: bool,
) -> None:
    """Run the engine in the foreground.

    Prints the socket's path, and where HTTP is served, on stderr once it listens. At SIGTERM or Ctrl-C it refuses new
    work, answers queued requests, gives running executions time to finish, and exits with 0; a second signal skips the
    wait. A service manager may pass the sockets (LISTEN_FDS) and is notified of readiness (NOTIFY_SOCKET).
    """
    from engine_ctl.engine_options import configured, enclosed, http_options, logged_events

    with logged_events(log_level, log_format, client_text=log_client_text):
        http = http_options(
            beside=socket,
            socket=http_socket,
            addresses=http_addresses,
            token_file=http_token_file,
            default_model=http_default_model,
            defaults=http_defaults,
            origins=http_origins,
            allow_paths=http_allow_paths,
            allow_manage=http_allow_manage,
        )
        config = configured(
            *(models_dir, energy_source, tdp_watts),
            allow_prune=allow_prune,
            models_only=models_only,
            keep_alive_s=keep_alive_s,
        )
        path = (socket or default_socket_path()).absolute()
        enclosure = enclosed(config, path, http, sandbox=sandbox)
        from engine_ctl.embedded import serve  # starts threads, which would stay outside the walls

        serve(config, path, drain_s, _note, http, enclosure)


def _note(line: str) -> None:
    click.echo(line, err=True)
