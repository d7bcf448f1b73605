"""What ``serve`` is told: the engine's configuration, where HTTP is served, and the walls around it.

Imports nothing that starts a thread: walls are entered by a process that has a single one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from actors.http.options import HttpOptions, HttpRules, TcpAddress, read_defaults, read_secret
from engine.config import EngineConfig, declared_source, declared_watts, default_config
from engine.host.event_log import LogForm, LogLevel, begin_logging
from engine.host.write_behind import stderr_written_behind
from engine.sandbox.enclosure import Enclosure, enclose, open_enclosure
from protocol.address import HTTP_SOCKET_NAME, default_socket_path
from protocol.errors import InternalError


def configured(
    models_dir: Path | None,
    energy_source: str | None,
    tdp_watts: float | None,
    *,
    allow_prune: bool,
    models_only: bool = False,
    keep_alive_s: int | None = None,
) -> EngineConfig:
    """The configuration from the environment, with what flags say instead of it.

    Raises:
        InvalidRequest: a flag or a variable makes no sense.
    """
    config = replace(default_config(), allow_prune=allow_prune, models_only=models_only)
    if keep_alive_s is not None:
        config = replace(config, keep_alive_s=keep_alive_s)
    if models_dir is not None:
        config = replace(config, models_dir=models_dir.absolute())
    if energy_source is not None:
        config = replace(config, energy_source=declared_source("--energy-source", energy_source))
    if tdp_watts is not None:
        config = replace(config, tdp_watts=declared_watts("--tdp-watts", tdp_watts))
    return config


def http_options(
    *,
    beside: Path | None,
    socket: str | None,
    addresses: tuple[str, ...],
    token_file: Path | None,
    default_model: str | None,
    defaults: Path | None,
    origins: tuple[str, ...],
    allow_paths: bool,
    allow_manage: bool,
) -> HttpOptions | None:
    """Where HTTP is served; ``None``: nowhere. ``socket``: a path, ``off``, or ``None`` for one beside the engine's.

    Raises:
        InvalidRequest: an address or a secret that cannot be used.
    """
    path = (beside or default_socket_path()).with_name(HTTP_SOCKET_NAME) if socket is None else Path(socket)
    tcp = tuple(map(TcpAddress.parse, addresses))
    if socket == "off" and not tcp:
        return None
    rules = HttpRules(
        secret=None if token_file is None else read_secret(token_file),
        origins=frozenset(origins),
        default_model=default_model,
        defaults={} if defaults is None else read_defaults(defaults),
        allow_paths=allow_paths,
        allow_manage=allow_manage,
    )
    return HttpOptions(None if socket == "off" else path.absolute(), tcp, rules)


def enclosed(config: EngineConfig, socket: Path, http: HttpOptions | None, *, sandbox: bool) -> Enclosure:
    """Put this process behind its walls; without ``sandbox`` there are none.

    Raises:
        InternalError: the process outside the walls cannot be started.
    """
    if not sandbox:
        return open_enclosure("--no-sandbox")
    sockets = (socket, *(() if http is None or http.socket_path is None else (http.socket_path,)))
    try:
        return enclose(config, sockets)
    except OSError as error:
        raise InternalError(f"the sandbox cannot be set up: {error}; serve --no-sandbox does without") from error


@contextmanager
def logged_events(level: str, form: str, *, client_text: bool) -> Iterator[None]:
    """Log events on standard error, unless ``level`` is ``off``. Nobody waits for who reads there."""
    with stderr_written_behind(), ExitStack() as logging:
        if level != "off":
            logging.callback(begin_logging(cast("LogLevel", level), cast("LogForm", form), client_text=client_text))
        yield
