"""An engine in a process of its own, for as long as a benchmark needs it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

CLI = str(Path(sys.executable).with_name("engine-ctl"))


@contextmanager
def served_engine() -> Iterator[Path]:
    """The path of the socket it listens on."""
    with TemporaryDirectory(prefix="engine-") as folder:
        socket = Path(folder) / "engine.sock"
        engine = subprocess.Popen([CLI, "serve", "--socket", str(socket)], stderr=subprocess.DEVNULL)
        try:
            while not socket.exists():
                if engine.poll() is not None:
                    raise RuntimeError(f"engine-ctl serve ended with {engine.returncode}")
                time.sleep(0.01)
            yield socket
        finally:
            engine.terminate()
            engine.wait()
