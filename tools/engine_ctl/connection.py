"""Reaching an engine: the one on the socket, or one of our own where none runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from protocol.errors import EngineUnreachable

if TYPE_CHECKING:
    from protocol.blocking import BlockingClient

ClientT = TypeVar("ClientT", bound=AbstractContextManager[object])
ANSWER_S = 60.0
"""Seconds for an answer that needs no computing."""


@contextmanager
def connect_or_embed(socket: Path | None, tdp_watts: float | None = None) -> Iterator[BlockingClient]:
    """A client as of :func:`reach`, for any message."""
    from protocol.blocking import BlockingClient

    with reach(BlockingClient.connect, socket, tdp_watts) as client:
        yield client


@contextmanager
def reach(
    connect: Callable[[Path | None], ClientT],
    socket: Path | None,
    tdp_watts: float | None = None,
    *,
    background: bool = False,
    quiet: bool = False,
) -> Iterator[ClientT]:
    """A client of the engine on the socket. Where none runs, of one that is started: by the user's service manager if
    it has the engine's unit, in the ``background`` if that is asked for, else in this process until the end.

    ``tdp_watts`` declares the watts of an engine that is started here, and ``quiet`` leaves out the note that one is.

    Raises:
        click.UsageError: ``tdp_watts``, and an engine listens: it was started with its own declaration.
        EngineUnreachable: something is at the socket's path, and it is not an engine that lets us in.
    """
    client = _connected(connect, socket)
    if client is not None and tdp_watts is not None:
        with client:
            raise click.UsageError(
                "--tdp-watts is for an engine in this process, and one runs already. Its watts are those that it was "
                "started with: engine-ctl shutdown, then engine-ctl serve --energy-source model --tdp-watts WATTS."
            )
    if client is None:
        client, note = _started(connect, socket, tdp_watts, background=background)
        if not quiet:
            click.echo(note, err=True)
    if client is not None:
        with client:
            yield client
        return
    from engine_ctl.embedded import embedded_engine

    with embedded_engine(tdp_watts) as own_socket:
        client = connect(own_socket)
        with client:
            yield client


def _connected(connect: Callable[[Path | None], ClientT], socket: Path | None) -> ClientT | None:
    """A client, or ``None`` where no engine listens."""
    try:
        return connect(socket)
    except EngineUnreachable as unreachable:
        if not isinstance(unreachable.__cause__, FileNotFoundError | ConnectionRefusedError):
            raise
    return None


def _started(
    connect: Callable[[Path | None], ClientT], socket: Path | None, tdp_watts: float | None, *, background: bool
) -> tuple[ClientT | None, str]:
    """A client of an engine that was started and goes on, or ``None``; and what a person should know of it."""
    from engine_ctl.background import start_by_service_manager, start_in_background
    from protocol.address import default_socket_path

    path = socket or default_socket_path()
    if path == default_socket_path() and tdp_watts is None and start_by_service_manager():
        return connect(path), "engine.socket started: the engine goes on (systemctl --user stop engine.socket)"
    if background:
        log = path.with_name("engine.log")
        pid = start_in_background(path.absolute(), log, tdp_watts)
        return connect(path), f"an engine goes on in the background, pid {pid} (engine-ctl shutdown stops it)"
    return None, "no engine on the socket: running one in this process"


@contextmanager
def embed(tdp_watts: float | None = None) -> Iterator[BlockingClient]:
    """A client of an engine that lives in this process until the end."""
    from engine_ctl.embedded import embedded_engine
    from protocol.blocking import BlockingClient

    with embedded_engine(tdp_watts) as own_socket, BlockingClient.connect(own_socket) as client:
        yield client
