"""`engine-ctl run` under a quantization, in a process that can be killed at any moment; and what that leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.weights.weights_cache import WeightsCache

WHOLE = ["gguf", "json"]
"""What QuantizingEngine.left() is where there is an entry and nothing else."""

STEPS = (
    "open gguf part", "rename gguf part", "open json part", "rename json part", "remove json part", "remove gguf part",
)  # fmt: skip
"""What an undisturbed engine does in the cache's folder, in order: to the part that becomes the weights, and to the one
that becomes their manifest. The last two find nothing to do."""

# Dies before the first such step.
_PROGRAM = """
import os, signal, sys
folder, last = sys.argv.pop(1), sys.argv.pop(1)
def watch(event, arguments):
    if event in ("open", "os.rename", "os.remove") and str(arguments[0]).startswith(folder):
        kinds = os.path.basename(arguments[0]).split(".")[1::2]
        if " ".join([event.removeprefix("os."), *kinds]) == last:
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
    """Source of the weights: ``cache`` or ``quantized`` if all is well."""
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

    def start(self, *, dies_before: str = "") -> subprocess.Popen[str]:
        """``dies_before``: the one of STEPS before which it kills itself, if any."""
        scratch = self.folder / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "ENGINE_CACHE_DIR": str(self.folder / "cache"),
            "XDG_RUNTIME_DIR": str(scratch),
            "TMPDIR": str(scratch),
        }
        environment.pop("ENGINE_SOCKET", None)
        command = [
            sys.executable, "-c", _PROGRAM, str(self.cache.directory), dies_before, "run", "--json",
            "--model", str(self.model), "--quant", self.recipe, "--prompt", self.prompt,
            "--max-tokens", str(self.max_tokens),
        ]  # fmt: skip
        return subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def run(self) -> Finished:
        """Run to the end. Raises RuntimeError if that is a failure."""
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
