"""Isolation: what agents wrote runs in bubblewrap alone, without network or the user's files, for a limited time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auton.errors import AutonError

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache")
_SHOWN_BYTES = 16_384
_LARGEST_FILE = 512 * 2**20
_MEMORY = 4 * 2**30
_PROCESSES = 512


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    exit_code: int | None
    """``None``: it took too long."""
    output: str
    """The end of what it printed."""

    @property
    def succeeded(self) -> bool:
        """Whether it ended well, and in time."""
        return self.exit_code == 0


class Sandbox:
    """Bubblewrap: the system's programs to read, one folder to write, and nothing else."""

    def __init__(self) -> None:
        """Raises AutonError: it is not installed, or may not run here. Nothing runs without it."""
        found = shutil.which("bwrap")
        if found is None:
            raise AutonError(
                "builds need isolation, and bwrap is not installed (Debian's bubblewrap): nothing is built"
            )
        self._program = found
        with tempfile.TemporaryDirectory(prefix="auton-") as folder:
            tried = self.run(("true",), Path(folder), 10.0)
        if not tried.succeeded:
            raise AutonError(f"builds need isolation, and bwrap does not run here: {tried.output.strip()}")

    def run(self, command: Sequence[str], folder: Path, timeout_s: float) -> Ran:
        """Run a command in a folder, which is all that it can write."""
        with tempfile.TemporaryFile() as told:
            process = subprocess.Popen(  # noqa: S603  bubblewrap, which holds the command
                [*self._walls(folder), *_limits(timeout_s), *command],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                env={},
                start_new_session=True,
            )
            try:
                exit_code: int | None = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                exit_code = None
            finally:
                # bwrap's child dies with it, and all of its processes with that child.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            end = told.seek(0, os.SEEK_END)
            told.seek(max(0, end - _SHOWN_BYTES))
            return Ran(exit_code, told.read().decode(errors="replace"))

    def _walls(self, folder: Path) -> list[str]:
        walls = [
            self._program,
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--clearenv",
        ]
        for path in _SYSTEM:
            walls += ["--ro-bind-try", path, path]
        walls += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--bind", str(folder.resolve()), "/work"]  # noqa: S108
        for name, value in {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8"}.items():  # noqa: S108
            walls += ["--setenv", name, value]
        return [*walls, "--chdir", "/work", "--"]


def _limits(timeout_s: float) -> list[str]:
    """``prlimit`` in front of the command: CPU time, memory, size of files, processes."""
    limits = {"cpu": int(timeout_s * 4) + 1, "as": _MEMORY, "fsize": _LARGEST_FILE, "nproc": _PROCESSES, "core": 0}
    return ["prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--"]
