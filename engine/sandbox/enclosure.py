"""The serving process behind its walls, with the broker outside: made before the engine opens anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from engine import _core
from engine.config import EngineConfig
from engine.energy.sources.meter import COMMAND_S, run_command
from engine.fetch.fetch import Fetch
from engine.host import landlock, system_calls
from engine.host.landlock import Access, each
from engine.sandbox.broker import Broker, Task, start_broker
from engine.sandbox.walls import close_behind, enter, program_paths, serving_walls
from protocol.sandbox import Sandbox

_FETCH: Final = "fetch"
_METER: Final = "meter"
_PATIENCE_S: Final = 1.0
"""Beyond the command's own time."""


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What is in force of the walls so far, and what this process now has others do."""

    sandbox: Sandbox
    broker: Broker | None = None

    def close_behind(self) -> Sandbox:
        """What is in force once all sockets listen: see :func:`engine.sandbox.walls.close_behind`."""
        return self.sandbox if self.broker is None else close_behind(self.sandbox)

    @property
    def fetch(self) -> Fetch | None:
        """Brings models; ``None``: this process does."""
        if self.broker is None:
            return None
        from engine.fetch.fetch_task import fetch_elsewhere  # noqa: PLC0415  most engines never pull

        return partial(fetch_elsewhere, start=partial(self.broker.run_task, _FETCH))

    @property
    def run_meter(self) -> Callable[[Sequence[str]], str] | None:
        """Runs the meter's command; ``None``: this process does."""
        return None if self.broker is None else partial(_run_meter_elsewhere, partial(self.broker.run_task, _METER))


def open_enclosure(reason: str) -> Enclosure:
    """No walls."""
    return Enclosure(Sandbox(reason=reason))


def enclose(config: EngineConfig, sockets: tuple[Path, ...]) -> Enclosure:
    """Start the broker and enter the walls. Call it with a single thread, before any file of the engine's is open.

    ``sockets``: where the engine will listen.

    Raises:
        OSError: the broker cannot be started.
    """
    for folder, mode in ((config.models_dir, 0o777), (config.cache_dir, 0o700), (config.data_dir, 0o700)):
        _make_folder(folder, mode)
    for path in sockets:
        _make_folder(path.parent, 0o700)
    broker = start_broker(_tasks(config))
    _core.set_file_broker(broker.files.fileno())
    return Enclosure(enter(serving_walls(config, sockets)), broker)


def _make_folder(folder: Path, mode: int) -> None:
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError:
        return  # whatever needs it says what is wrong with it


def _tasks(config: EngineConfig) -> dict[str, Task]:
    return {_FETCH: partial(_fetch, config), _METER: partial(_run_meter, config.meter_command)}


def _fetch(config: EngineConfig, talk: socket.socket) -> None:
    from engine.fetch.fetch_task import credential_paths, serve_fetch  # noqa: PLC0415  in the task's process alone

    files = (
        each(program_paths(), Access.RUN)
        | each((Path("/proc"), *credential_paths(Path.home())), Access.READ)
        | each((Path("/dev/null"), Path("/dev/urandom")), Access.READ_FILE | Access.WRITE_FILE)
        | each((config.models_dir, config.cache_dir), Access.WRITE)
    )

    def confine() -> None:
        if landlock.version():
            landlock.restrict(files, tcp=True)
            system_calls.refuse(network=True)

    serve_fetch(talk, config.models_dir, config.cache_dir / "content-hashes.json", confine)


def _run_meter(command: Sequence[str], talk: socket.socket) -> None:
    try:
        answer = {"printed": run_command(command)}
    except OSError as error:
        answer = {"failure": str(error)}
    talk.sendall(json.dumps(answer).encode() + b"\n")


def _run_meter_elsewhere(start: Callable[[], socket.socket], _command: Sequence[str]) -> str:
    """The command is the one that the broker was started with. Raises OSError."""
    with start() as talk:
        talk.settimeout(COMMAND_S + _PATIENCE_S)
        line = talk.makefile("rb").readline()
    if not line:
        raise OSError("the process that runs the command has ended")
    answer = json.loads(line)
    if "failure" in answer:
        raise OSError(answer["failure"])
    return str(answer["printed"])
