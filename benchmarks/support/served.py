"""An engine in a process of its own, for as long as a benchmark needs it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from protocol.address import HTTP_SOCKET_NAME

CLI = str(Path(sys.executable).with_name("engine-ctl"))


@dataclass(frozen=True, slots=True)
class ServedEngine:
    socket: Path
    http_socket: Path
    data_dir: Path
    process: subprocess.Popen[bytes]


@contextmanager
def served_engine() -> Iterator[Path]:
    """The path of the socket it listens on."""
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        yield engine.socket


@contextmanager
def served_from(folder: Path, variables: Mapping[str, str] | None = None) -> Iterator[ServedEngine]:
    """One whose socket and records are in a folder, which another may have used before. Ended if it still runs.

    ``variables``: of its environment, beside this process's.
    """
    socket, http_socket, data_dir = folder / "engine.sock", folder / HTTP_SOCKET_NAME, folder / "data"
    environment = {**os.environ, "ENGINE_DATA_DIR": str(data_dir), **(variables or {})}
    command = [CLI, "serve", "--socket", str(socket)]
    socket.unlink(missing_ok=True)
    http_socket.unlink(missing_ok=True)
    engine = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not (socket.exists() and http_socket.exists()):
            if engine.poll() is not None:
                raise RuntimeError(f"engine-ctl serve ended with {engine.returncode}")
            time.sleep(0.01)
        yield ServedEngine(socket, http_socket, data_dir, engine)
    finally:
        engine.terminate()
        engine.wait()
