"""openvino-genai, as ``make peers`` installs it. Its prefill alone is measured."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path

from benchmarks.support.llama_cpp import peers_folder
from engine.bench.work import Work


class UnreadableModelError(Exception):
    """A file that openvino-genai of this version does not read. The message says why, in its words."""


class OpenVino:
    """One model, loaded in a process that lives until closed: compiling it takes seconds."""

    name = "openvino-genai"

    def __init__(self, path: Path, threads: int) -> None:
        """Raises FileNotFoundError where it is not installed, UnreadableModelError."""
        python = peers_folder() / "openvino" / "bin" / "python"
        if not python.exists():
            raise FileNotFoundError(f"no openvino-genai in {python.parent.parent}: run make peers")
        # -P: beside the script lie modules of the names that it imports.
        script = Path(__file__).with_name("openvino_prefill.py")
        self._process = subprocess.Popen(
            [python, "-I", script, path, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._answer() != "ready":
            raise UnreadableModelError(self.close())
        self._seconds(256)  # the first prompt compiles

    def close(self) -> str:
        """The last line that it wrote to stderr."""
        _, errors = self._process.communicate()
        return (errors.strip().splitlines() or [""])[-1]

    def rate(self, work: Work) -> float:
        """Tokens a second of a prefill, the median of the work's repetitions."""
        return statistics.median(work.prompt / self._seconds(work.prompt) for _ in range(work.repetitions))

    def setting(self, work: Work) -> str:
        """Settings of a peer for which nothing is chosen."""
        return "as it comes"

    def _seconds(self, tokens: int) -> float:
        if self._process.stdin is None:
            raise RuntimeError("closed")
        self._process.stdin.write(f"{tokens}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        return self._process.stdout.readline().strip() if self._process.stdout else ""
