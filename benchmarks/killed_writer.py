"""Engines killed while they quantize into the cache, each followed by one that must answer as if nothing had happened.

    .venv/bin/python -m benchmarks.killed_writer MODEL.gguf [--quant q4_k_m] [--kills 50] [--seed 0]

Moments are drawn from the time of a whole run, from the time the weights take to write, and from the steps in the
cache's folder (files opened and renamed), in turns. After each kill no entry may be wrong; the run that comes next must
give the token ids and the logits' digest of an undisturbed one, and leave an entry of the same bytes and nothing else.
"""

from __future__ import annotations

import argparse
import collections
import random
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.killed_engine import STEPS, WHOLE, Answer, QuantizingEngine

_POLL_S = 0.0005
_STATES = {
    (): "before anything was written",
    ("part",): "while the weights were written",
    ("gguf",): "between the weights and their manifest",
    ("gguf", "part"): "while the manifest was written",
    ("gguf", "json"): "with all in place",
}


@dataclass(frozen=True)
class Undisturbed:
    """A run without an entry in the cache."""

    answer: Answer
    digest: str
    """Digest of the cache entry."""
    began_writing: float
    """Seconds from its start, as the next."""
    wrote: float
    ended: float


def wait_for(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """Wait until it has happened, or the process ends."""
    while process.poll() is None and not happened():
        time.sleep(_POLL_S)


def undisturbed(engine: QuantizingEngine) -> Undisturbed:
    answer = engine.run().answer
    engine.forget()
    began = time.monotonic()
    with engine.start() as process:
        wait_for(process, lambda: bool(engine.left()))
        began_writing = time.monotonic() - began
        wait_for(process, lambda: engine.left() == WHOLE)
        wrote = time.monotonic() - began
        process.communicate()
    return Undisturbed(answer, engine.cache.entries()[0].digest, began_writing, wrote, time.monotonic() - began)


def kill(engine: QuantizingEngine, clean: Undisturbed, way: int, chance: random.Random) -> bool:
    """Whether it was still alive at the moment that chance chose."""
    if way == 0:
        with engine.start(dies_before=chance.choice(STEPS)) as process:
            process.communicate()
        return process.returncode == -signal.SIGKILL
    with engine.start() as process:
        if way == 1:
            wait_for(process, lambda: "part" in engine.left())
            time.sleep(chance.uniform(0, 1.2 * (clean.wrote - clean.began_writing)))
        else:
            time.sleep(chance.uniform(0, clean.ended))
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def fault(engine: QuantizingEngine, clean: Undisturbed, left: list[str]) -> str:
    """Damage of the kill, "" if none."""
    if faults := engine.faults():
        return f"an entry is wrong: {faults}"
    after = engine.run()
    if after.answer != clean.answer:
        return f"the next run answered {after.answer}, not {clean.answer}"
    if after.notices or after.source != ("cache" if "json" in left else "quantized"):
        return f"the next run's weights were from {after.source}: {after.notices}"
    if engine.left() != WHOLE:
        return f"the next run left {engine.left()}"
    return "" if engine.cache.entries()[0].digest == clean.digest else "the next run made other bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--quant", default="q4_k_m")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)  # noqa: S311  moments, not secrets
    with tempfile.TemporaryDirectory() as folder:
        engine = QuantizingEngine(arguments.model.absolute(), arguments.quant, Path(folder))
        clean = undisturbed(engine)
        print(f"undisturbed: writes from {clean.began_writing:.2f} s to {clean.wrote:.2f} s of {clean.ended:.2f} s")
        moments: collections.Counter[str] = collections.Counter()
        faults: list[str] = []
        while moments.total() < arguments.kills:
            engine.forget()
            if kill(engine, clean, moments.total() % 3, chance):
                left = engine.left()
                moment = _STATES.get(tuple(left), f"with {left}")
                moments[moment] += 1
                if found := fault(engine, clean, left):
                    faults.append(f"killed {moment}: {found}")
                    print(faults[-1], flush=True)
    for moment, count in moments.most_common():
        print(f"{count} killed {moment}")
    print(f"{moments.total()} kills, {len(faults)} with a fault")
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    main()
