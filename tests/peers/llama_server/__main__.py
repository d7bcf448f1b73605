"""llama-server's own tests against this engine: run, and counted in a table of files.

    python -m tests.peers.llama_server [PYTEST'S WORDS]

Fails where a test fails that :mod:`tests.peers.llama_server.differences` does not name.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.peers.llama_server.differences import ANY_TEXT
from tests.peers.llama_server.table import Report, failures, table

ROOT = Path(__file__).parents[3]
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
PEER = Path(os.environ.get("ENGINE_PEERS_DIR") or _CACHE / "weos-engine" / "peers") / "server-tests"


def run_tests(words: list[str]) -> list[Report]:
    """Run the tests, and read how they ended."""
    with tempfile.TemporaryDirectory(prefix="engine-") as made:
        folder = Path(made)
        server = folder / "llama-server"
        server.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.peers.llama_server.server "$@"\n')
        server.chmod(0o700)
        reports = folder / "reports"
        reports.touch()
        environment = os.environ | {
            "LLAMA_SERVER_BIN_PATH": str(server),
            "PORT": str(_free_port()),
            "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
            "ENGINE_DATA_DIR": str(folder / "data"),
            "ENGINE_TEST_REPORTS": str(reports),
            "ENGINE_TEST_ANY_TEXT": json.dumps(sorted(ANY_TEXT)),
        }
        command = [str(PEER / "bin" / "python"), "-m", "pytest", "-q", "--tb=short", "-p", "outcomes"]
        suite = PEER / "tools" / "server" / "tests"
        subprocess.run([*command, *(words or ["-m", "not slow", "unit"])], cwd=suite, env=environment, check=False)  # noqa: S603
        return [Report(**json.loads(line)) for line in reports.read_text().splitlines()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    ended = run_tests(sys.argv[1:])
    failed = [f"\nFAILED {one.test}\n{one.failure}\n" for one in failures(ended)]
    sys.stdout.write("\n".join([table(ended), *failed]) + "\n")
    sys.exit(bool(failures(ended)) or not ended)
