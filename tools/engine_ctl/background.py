"""Starting an engine that outlives the command which needs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from protocol.errors import EngineUnreachable

_UNIT = "engine.socket"
_PATIENCE_S = 30.0
_LOOK_S = 0.02


def start_by_service_manager() -> bool:
    """Have the user's own systemd listen on the default socket, if it has the unit: the engine starts with the next
    connection. Whether it does."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if not runtime or not Path(runtime, "systemd", "private").exists() or not _unit_is_installed():
        return False
    try:
        done = subprocess.run(  # noqa: S603  a fixed command
            ["systemctl", "--user", "start", _UNIT],  # noqa: S607  where the user's PATH has it
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def start_in_background(socket: Path, log: Path, tdp_watts: float | None = None) -> int:
    """Start an engine that listens on ``socket``, in a session of its own, and give its process id. What it writes goes
    to ``log``.

    Raises:
        EngineUnreachable: it ended, or does not listen in time.
        OSError: the log cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    watts = () if tdp_watts is None else ("--tdp-watts", str(tdp_watts))
    program = "from engine_ctl.main import main; main(prog_name='engine-ctl')"
    with log.open("ab") as written:
        process = subprocess.Popen(  # noqa: S603  our own program
            [sys.executable, "-c", program, "serve", "--socket", str(socket), *watts],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    deadline = time.monotonic() + _PATIENCE_S
    while not socket.is_socket():
        if process.poll() is not None:
            raise EngineUnreachable(f"the engine in the background did not start; {log} says why", socket=str(socket))
        if time.monotonic() > deadline:
            late = f"the engine in the background does not listen after {_PATIENCE_S:g} s, and goes on starting"
            raise EngineUnreachable(f"{late} as process {process.pid}; {log} has what it says", socket=str(socket))
        time.sleep(_LOOK_S)
    return process.pid


def _unit_is_installed() -> bool:
    home = os.environ.get("XDG_CONFIG_HOME", "")
    folders = (
        (Path(home) if home else Path.home() / ".config") / "systemd" / "user",
        Path("/etc/systemd/user"),
        Path("/usr/lib/systemd/user"),
    )
    return any((folder / _UNIT).is_file() for folder in folders)
