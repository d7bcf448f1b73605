"""`engine-ctl run` under a quantization, in a process that can be killed at any moment; and what that leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.weights_cache import WeightsCache

WHOLE = ["gguf", "json"]
"""What QuantizingEngine.left() is where there is an entry and nothing else."""

# Counts what the engine is about to do to files in a folder, and dies before the step of that number; 0 is none.
_PROGRAM = """
import os, signal, sys
folder, last = sys.argv.pop(1), int(sys.argv.pop(1))
steps = 0
def watch(event, arguments):
    global steps
    if event in ("open", "os.rename", "os.remove", "os.utime") and str(arguments[0]).startswith(folder):
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from engine_ctl.main import main
main(prog_name="engine-ctl")
"""


@dataclass(frozen=True)
class Answer:
    token_ids: tuple[int, ...]
    logits_digest: str


@dataclass(frozen=True)
class Finished:
    answer: Answer
    source: str
    """Of the weights: ``cache`` or ``quantized`` where all is well."""
    notices: tuple[str, ...]


@dataclass(frozen=True)
class QuantizingEngine:
    """Every process has the same cache, and a folder of its own for all else that it puts down."""

    model: Path
    recipe: str
    folder: Path
    prompt: str = "Once upon a time"
    max_tokens: int = 8

    @property
    def cache(self) -> WeightsCache:
        return WeightsCache(self.folder / "cache" / "weights", 1 << 40)

    def start(self, *, dies_before: int = 0) -> subprocess.Popen[str]:
        """``dies_before``: the step in the cache's folder, from 1, before which it kills itself; 0 for none."""
        scratch = self.folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "ENGINE_CACHE_DIR": str(self.folder / "cache"),
            "XDG_RUNTIME_DIR": str(scratch),
            "TMPDIR": str(scratch),
        }
        environment.pop("ENGINE_SOCKET", None)
        command = [
            sys.executable, "-c", _PROGRAM, str(self.cache.directory), str(dies_before), "run", "--json",
            "--model", str(self.model), "--quant", self.recipe, "--prompt", self.prompt,
            "--max-tokens", str(self.max_tokens),
        ]  # fmt: skip
        return subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def run(self) -> Finished:
        """To its end. Raises RuntimeError where that is a failure."""
        with self.start() as process:
            output, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(f"engine-ctl ended with {process.returncode}: {output}{errors}")
        record: dict[str, Any] = json.loads(output)
        return Finished(
            answer=Answer(tuple(record["token_ids"]), record["logits_digest"]),
            source=record["weights"]["source"],
            notices=tuple(record["weights"]["notices"]),
        )

    def left(self) -> list[str]:
        """What there is in the cache, by the last of its suffixes, in order: ``gguf``, ``json``, ``part``."""
        return sorted(path.suffix[1:] for path in self.cache.directory.glob("*"))

    def faults(self) -> list[str]:
        """What is wrong with entries that a run would trust."""
        return [fault for entry in self.cache.entries() if (fault := self.cache.verify(entry.name))]

    def forget(self) -> None:
        """Remove the entries; not what killed writers left."""
        for entry in self.cache.entries():
            self.cache.remove(entry.name)
