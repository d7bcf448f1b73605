"""Reaching an engine: the one on the socket, or one of our own where none runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from protocol.blocking import BlockingClient
from protocol.errors import EngineUnreachable


@contextmanager
def connect_or_embed(socket: Path | None, tdp_watts: float | None = None) -> Iterator[BlockingClient]:
    """A client of the engine on the socket or, where none runs, of one that lives in this process until the end.

    ``tdp_watts`` declares the watts of the latter.

    Raises:
        click.UsageError: ``tdp_watts``, and an engine listens: it was started with its own declaration.
        EngineUnreachable: something is at the socket's path, and it is not an engine that lets us in.
    """
    try:
        client = BlockingClient.connect(socket)
    except EngineUnreachable as unreachable:
        if not isinstance(unreachable.__cause__, FileNotFoundError | ConnectionRefusedError):
            raise
    else:
        with client:
            if tdp_watts is not None:
                raise click.UsageError(
                    "--tdp-watts is for an engine in this process. The engine on the socket has the value that it was "
                    "started with (engine-ctl serve --tdp-watts)."
                )
            yield client
        return
    click.echo("no engine on the socket: running one in this process", err=True)
    with embed(tdp_watts) as client:
        yield client


@contextmanager
def embed(tdp_watts: float | None = None) -> Iterator[BlockingClient]:
    """A client of an engine that lives in this process until the end."""
    from engine_ctl.embedded import embedded_engine

    with embedded_engine(tdp_watts) as own_socket, BlockingClient.connect(own_socket) as client:
        yield client
