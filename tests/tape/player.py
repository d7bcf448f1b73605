"""Plays the commands of a page as a reader types them, one after another, with what the page has them depend on."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from engine import _core
from tests.tape.stage import MODEL

TIMEOUT_S = 60
_FOLLOWED_S = 2.0
_LISTENING = ("listening on ", "HTTP on http://")
"""What ``serve`` says at last, without and with a port."""
_FOLLOWED = re.compile(r"(engine-ctl (watch|energy --watch)|weos-agents observe)\b")
_SERVE = re.compile(r"((?:ENGINE_\w+=\S+ )*engine-ctl serve\b[^&#]*)", re.DOTALL)
_EXPORT = re.compile(r"export (\w+)=(\S+)")
_IDENTIFIER = re.compile(r"\b(?:experiment|proposal|exec)-[0-9a-f]+")
_TABLE = next(name for name, unavailable in _core.kernel_tables().items() if not unavailable)
"""The best kernel table that runs here."""
_PLACEHOLDERS = (
    (re.compile(r"\bcpu_(avx512|avx2)\b"), _TABLE),
    (re.compile(r"\bMODEL TEXT\b"), f"{MODEL} 'Say hello.'"),
    (re.compile(r"\bdraft=SMALL\b"), "draft=small"),
    (re.compile(r"\bOWNER/REPO:"), "OWNER/SEVERAL:"),
    (re.compile(r"@REVISION\b"), "@main"),
)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass
class Played:
    status: int
    printed: str


@dataclass
class Player:
    work: Path
    variables: dict[str, str]
    executions: tuple[str, ...] = ()
    """Identifiers of executions that there are, for a page's ``ID``, ``A`` and ``B``."""
    _identifiers: dict[str, str] = field(default_factory=dict)
    """Those of this run by those that the page shows."""
    _served: subprocess.Popen[bytes] | None = None
    _port: int = field(default_factory=free_port)

    def serve(self) -> None:
        """The engine that a page takes for granted."""
        assert self._serve("engine-ctl serve").status == 0

    def play(self, text: str) -> Played:
        """The page's next command, with this run's port and names in place of those that the page shows."""
        command = self._as_typed(text)
        if exported := _EXPORT.match(command):
            if exported[1] != "PATH":
                self.variables[exported[1]] = exported[2]
            return Played(0, "")
        if serve := _SERVE.match(command):
            return self._serve(serve[1])
        if _FOLLOWED.match(command):
            return self._follow(command)
        process = self._start(command)
        return Played(*_ended(process))

    def learn(self, shown: str, printed: str) -> None:
        """Which identifier of this run stands for which of the page."""
        there = dict.fromkeys(_IDENTIFIER.findall(printed))
        new = [name for name in dict.fromkeys(_IDENTIFIER.findall(shown)) if name not in self._identifiers]
        known = set(self._identifiers.values())
        self._identifiers |= dict(zip(new, (name for name in there if name not in known), strict=False))

    def keep(self, file: str, content: str) -> None:
        """A file that the page shows, and that its commands read."""
        (self.work / file).write_text(content + "\n", encoding="utf-8")

    def end(self) -> None:
        if self._served is not None:
            self._served.terminate()
            _ended(self._served)
            self._served = None

    def _as_typed(self, text: str) -> str:
        for pattern, replacement in _PLACEHOLDERS:
            text = pattern.sub(replacement, text)
        for name, execution in zip(("ID", "A", "B"), (*self.executions[:1], *self.executions), strict=False):
            text = re.sub(rf"(?<=\w ){name}\b", execution, text)
        for shown, mine in self._identifiers.items():
            text = text.replace(shown, mine)
        return text.replace("127.0.0.1:8080", f"127.0.0.1:{self._port}")

    def _serve(self, command: str) -> Played:
        """Started for the rest of the page, or until the next one."""
        self.end()
        with (self.work / "served.log").open("wb") as log:
            self._served = self._start(f"exec env {command}", log.fileno())
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until:
            printed = (self.work / "served.log").read_text(encoding="utf-8")
            if _LISTENING[" --http " in command] in printed:
                return Played(0, printed)
            if self._served.poll() is not None:
                return Played(self._served.returncode or 1, printed)
            time.sleep(0.02)
        return Played(1, "it listens nowhere")

    def _follow(self, command: str) -> Played:
        """What never ends is interrupted, as a reader would, and has to go in peace."""
        process = self._start(f"exec {command}")
        time.sleep(_FOLLOWED_S)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        status, printed = _ended(process)
        return Played(0 if status in {0, 130, -signal.SIGINT} else status, printed)

    def _start(self, command: str, output: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  commands of our own documentation
            ["bash", "-euo", "pipefail", "-c", command],  # noqa: S607
            cwd=self.work, env=self.variables, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """The status and the output of a process, which is killed, with all that it started, where it takes too long."""
    told = ""
    try:
        printed, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        told = f"(killed after {TIMEOUT_S} s)"
    return process.returncode, (printed or b"").decode(errors="replace") + told
