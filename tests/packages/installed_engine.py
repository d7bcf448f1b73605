"""An engine as users have it: installed into an empty environment, away from this tree."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """Its files are all in ``home``, and nothing of the caller's Python reaches it."""

    command: Path
    home: Path

    def run(self, *arguments: str, emulator: Sequence[str] = (), **variables: str) -> str:
        """Stdout of ``engine-ctl``; what it says of a failure fails the test."""
        line = [*emulator, str(self.python), str(self.command)] if emulator else [str(self.command)]
        return output_of([*line, *arguments], self.home, variables)

    def record(self, model: Path, text: str, *flags: str, emulator: Sequence[str] = (), **variables: str) -> Any:
        """The record of one answer of at most 8 tokens."""
        told = self.run("run", str(model), text, *flags, "--max-tokens", "8", "--json", emulator=emulator, **variables)
        return json.loads(told)

    @property
    def python(self) -> Path:
        """The interpreter that the command names."""
        first = self.command.read_text(encoding="utf-8").splitlines()[0]
        return Path(first.removeprefix("#!").split()[0])


def output_of(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> str:
    """What a command prints in a folder, with no variable of this environment but those of the network."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "XDG_CONFIG_DIRS"))}
    places = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "XDG_RUNTIME_DIR": str(folder)}
    environment = {**kept, **places, **(variables or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  the tests' own
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
