"""llama.cpp's own benchmark programs, as ``make peers`` builds them."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from pathlib import Path
from typing import Any

from engine.bench.work import Work


def peers_folder() -> Path:
    """Folder in which ``tools/peers.sh`` builds the peers."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ENGINE_PEERS_DIR") or cache / "weos-engine" / "peers")


class LlamaCpp:
    """One model in one build (``avx2`` or ``avx512``). Every turn is a process of its own, which warms up first."""

    def __init__(self, build: str, path: Path, threads: int, flash: tuple[str, ...] = ("off", "on")) -> None:
        """``flash``: the settings of flash attention to try. Raises FileNotFoundError where the build is missing."""
        self.name = f"llama.cpp {build}"
        self._programs = peers_folder() / build / "build" / "bin"
        if not (self._programs / "llama-batched-bench").exists():
            raise FileNotFoundError(f"no llama.cpp in {self._programs}: run make peers")
        self._path = path
        self._threads = threads
        self._settings = flash
        self._flash: dict[str, str] = {}

    def rate(self, work: Work) -> float:
        """Tokens a second, the median of the work's repetitions, with flash attention if that is faster here.

        The first call for a work tries all settings and gives the best rate.
        """
        if work.name in self._flash:
            return self._rate(work, self._flash[work.name])
        rates = {setting: self._rate(work, setting) for setting in self._settings}
        self._flash[work.name] = max(rates, key=rates.__getitem__)
        return max(rates.values())

    def setting(self, work: Work) -> str:
        """The flash attention that was faster."""
        return f"flash attention {self._flash[work.name]}"

    def _rate(self, work: Work, flash: str) -> float:
        measure = self._one_sequence if work.sequences == 1 else self._side_by_side
        return statistics.median(measure(work, flash))

    def _one_sequence(self, work: Work, flash: str) -> list[float]:
        prompt, depth = (work.prompt, 0) if work.is_prefill else (0, work.prompt)
        output = self._run(
            "llama-bench", flash, "-p", prompt, "-n", work.generated, "-d", depth, "-r", work.repetitions, "-o", "json"
        )
        return [float(rate) for rate in json.loads(output)[0]["samples_ts"]]

    def _side_by_side(self, work: Work, flash: str) -> list[float]:
        # Each sequence has its own share of the context, in multiples of 256.
        context = work.sequences * -(-(work.prompt + work.generated) // 256) * 256
        sequences = ",".join([str(work.sequences)] * work.repetitions)
        output = self._run(
            "llama-batched-bench", flash, "-c", context, "-npp", work.prompt, "-ntg", work.generated,
            "-npl", sequences, "--output-format", "jsonl",
        )  # fmt: skip
        lines: list[dict[str, Any]] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
        if len(lines) != work.repetitions:
            raise RuntimeError(f"llama-batched-bench gave {len(lines)} results of {work.repetitions}")
        return [float(line["speed_tg"]) for line in lines]

    def _run(self, program: str, flash: str, *options: object) -> str:
        command = [str(self._programs / program), "-m", str(self._path), "-t", str(self._threads), "-fa", flash]
        run = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, check=False)
        if run.returncode:
            raise RuntimeError(f"{program} ended with {run.returncode}: {run.stderr[-2000:]}")
        return run.stdout
