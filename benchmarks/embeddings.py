"""Vectors of texts beside llama.cpp's: same file, same texts, one thread, turn by turn.

.venv/bin/python -m benchmarks.embeddings MODEL.gguf --text wiki.test.raw

CPU time from texts to normalized means, tokenizing included, weights ready. Of one thread a busy machine changes it
little; of two that wait for each other, much. Sentences are so short that many share a step; paragraphs fill steps of
their own. llama.cpp has flash attention where that is faster. Needs ``make peers``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.support.disturbance import Disturbance
from benchmarks.support.llama_cpp import peers_folder
from engine import _core
from engine.operations.text_reading import SIDE_BY_SIDE, STEP_TOKENS
from engine.text.tokenizer import Tokenizer

BUILDS = {"cpu_avx2": "avx2", "cpu_avx512": "avx512"}
WORDS = {"sentences": (8, 24, 24), "paragraphs": (120, 200, 4)}
"""Fewest and most words of a text, and how many texts."""


def read_texts(path: Path, fewest: int, most: int, count: int) -> list[str]:
    """The file's first ``count`` lines of ``fewest`` to ``most`` words."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    chosen = [line for line in lines if fewest <= len(line.split()) <= most and not line.startswith("=")]
    return chosen[:count]


class Engine:
    """The engine's vectors, without actors and sockets."""

    def __init__(self, path: Path, table: str) -> None:
        self._tokenizer = Tokenizer(_core.GgufFile(str(path)))
        self._model = _core.Model.load(str(path), table, 1)

    def embed(self, texts: Sequence[str]) -> dict[str, Any]:
        began = time.process_time()
        token_ids = [self._tokenizer.encode(text) for text in texts]
        embedding = _core.TextEmbedding(
            self._model,
            token_ids,
            pooling="mean",
            normalize=True,
            step_tokens=STEP_TOKENS,
            side_by_side=SIDE_BY_SIDE,
            threads=1,
        )
        embedding.run()
        vectors = embedding.vectors
        seconds = time.process_time() - began
        return {"seconds": seconds, "tokens": sum(map(len, token_ids)), "vector": vectors[0].tolist()}


class LlamaCpp:
    """llama.cpp in a process that lives until closed."""

    def __init__(self, path: Path, build: str, *, flash: bool) -> None:
        """Raises FileNotFoundError where the build is missing."""
        python = peers_folder() / build / "bin" / "python"
        script = Path(__file__).with_name("support") / "llama_cpp_embeddings.py"
        self._process = subprocess.Popen(
            [python, "-I", script, path, str(int(flash))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()

    def close(self) -> None:
        self._process.communicate()

    def embed(self, texts: Sequence[str]) -> dict[str, Any]:
        if self._process.stdin is None:
            raise RuntimeError("closed")
        self._process.stdin.write(json.dumps(texts) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._answer())
        return answer

    def _answer(self) -> str:
        return self._process.stdout.readline() if self._process.stdout else ""


def measure(name: str, texts: Sequence[str], engine: Engine, peers: dict[str, LlamaCpp], rounds: int) -> str:
    """A row of the table: medians over all turns, of llama.cpp in its faster setting, and of the turns' ratios."""
    ours, theirs = engine.embed(texts), [peer.embed(texts) for peer in peers.values()]
    if any(answer["tokens"] != ours["tokens"] for answer in theirs):
        raise RuntimeError(f"{name}: {ours['tokens']} tokens, and llama.cpp has {theirs[0]['tokens']}")
    cosine = sum(a * b for a, b in zip(ours["vector"], theirs[0]["vector"], strict=True))
    disturbance = Disturbance()
    engines: tuple[Engine | LlamaCpp, ...] = (engine, *peers.values())
    turns = [[each.embed(texts)["seconds"] for each in engines] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*turns, strict=True)]
    best = min(range(1, len(medians)), key=medians.__getitem__)
    ratios = [turn[best] / turn[0] for turn in turns]
    rates = [f"{count / medians[i]:,.0f}" for i in (0, best) for count in (len(texts), ours["tokens"])]
    return (
        f"| {name}: {len(texts)} of {ours['tokens'] / len(texts):.0f} tokens | {' | '.join(rates)} "
        f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, n = {rounds}) "
        f"| {list(peers)[best - 1]} | {1 - cosine:.1e} | {disturbance.share():.0%} |\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    sys.stdout.write(
        "| texts | backend | texts/s | tokens/s | llama.cpp: texts/s | tokens/s | ratio | flash attention | 1 - cosine "
        "| used by others |\n|---|---|---|---|---|---|---|---|---|---|\n"
    )
    for table, build in BUILDS.items():
        if _core.kernel_tables()[table]:
            continue
        with ExitStack() as stack:
            engine = Engine(given.model, table)
            peers = {}
            for name, flash in (("off", False), ("on", True)):
                peers[name] = LlamaCpp(given.model, build, flash=flash)
                stack.callback(peers[name].close)
            for kind, (fewest, most, count) in WORDS.items():
                texts = read_texts(given.text, fewest, most, count)
                row = measure(kind, texts, engine, peers, given.rounds)
                sys.stdout.write(row.replace(" tokens |", f" tokens | `{table}` |", 1))
                sys.stdout.flush()


if __name__ == "__main__":
    main()
