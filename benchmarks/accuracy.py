"""Distance of next-token distributions from exact arithmetic: ours, and llama.cpp's on the same file.

.venv/bin/python -m benchmarks.accuracy MODEL.gguf --text wiki.test.raw [--positions N] [--json FILE]

The mean over the text's first positions of the Kullback-Leibler divergence, in nats, from exact arithmetic (float64 on
the dequantized weights).

The text is cut into sequences of 501 tokens, each from an empty context. The first position of each is left out: a lone
first token is where 8-bit inputs fail most, and it would outweigh all the others in the mean (docs/accuracy.md).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from benchmarks.support.llama_cpp import peers_folder
from benchmarks.support.report import Figure, print_figures
from benchmarks.support.setting import setting
from engine import _core
from engine.config import default_config
from engine.models.registry import ModelRegistry
from tests.golden.exact.model import ExactModel

SEQUENCE = 501  # of which 500 positions count
THREADS = 2
Floats = npt.NDArray[np.floating]
# In the peer's environment: reads token ids, a sequence a line, and leaves NUMBER.npy for each: float32
# [positions but the first, vocabulary].
_PEER = """
import sys
from pathlib import Path
import numpy as np
from tests.golden.peer import Peer
peer = Peer(Path(sys.argv[1]), context_length=int(sys.argv[3]))
for number, line in enumerate(sys.stdin):
    peer.restart()
    np.save(Path(sys.argv[2]) / f"{number}.npy", peer.extend([int(token) for token in line.split()], first_wanted=1))
"""


def measure(path: Path, text: Path, positions: int) -> list[Figure]:
    """A sample of each figure is a sequence's mean."""
    tokenizer = ModelRegistry(default_config()).resolve(str(path)).tokenizer
    # More bytes than any tokenizer needs for this many tokens of prose.
    ids = tokenizer.encode(text.read_text(encoding="utf-8")[: 8 * positions])[: positions * SEQUENCE // (SEQUENCE - 1)]
    sequences = [ids[at : at + SEQUENCE] for at in range(0, len(ids), SEQUENCE)]
    wanted = [range(1, len(sequence)) for sequence in sequences]
    exact = [log_softmax(logits) for logits in ExactModel(path).logits(sequences, wanted)]
    backend = setting(str(path)).backends[0]
    ours = [divergence(e, o) for e, o in zip(exact, _ours(path, backend, sequences), strict=True)]
    theirs = [divergence(e, t) for e, t in zip(exact, _theirs(path, sequences), strict=True)]
    name = f"{path.stem}, {sum(map(len, wanted))} positions"
    peers = Figure(f"{name}, llama.cpp", "nats", theirs)
    return [Figure(f"{name}, {backend}", "nats", ours, at_most=peers.median), peers]


def log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    """Over the last axis."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return shifted


def divergence(exact: npt.NDArray[np.float64], logits: Floats) -> float:
    """Mean over positions of sum p (log p - log q); ``exact`` is log p, ``logits`` belong to q."""
    return float(np.mean(np.sum(np.exp(exact) * (exact - log_softmax(logits)), axis=-1)))


def _ours(path: Path, backend: str, sequences: Sequence[Sequence[int]]) -> Iterator[Floats]:
    model = _core.Model.load(str(path), backend, THREADS)
    for sequence in sequences:
        yield model.logits([sequence], threads=THREADS)[0][1:]


def _theirs(path: Path, sequences: Sequence[Sequence[int]]) -> Iterator[Floats]:
    lines = "".join(" ".join(map(str, sequence)) + "\n" for sequence in sequences)
    python = peers_folder() / "avx2" / "bin" / "python"
    with TemporaryDirectory(prefix="accuracy-") as folder:
        command = [str(python), "-c", _PEER, str(path.absolute()), folder, str(SEQUENCE)]
        root = Path(__file__).parent.parent
        subprocess.run(command, input=lines, text=True, check=True, stderr=subprocess.DEVNULL, cwd=root)
        for number in range(len(sequences)):
            yield np.load(Path(folder) / f"{number}.npy")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--positions", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    figures = measure(arguments.model, arguments.text, arguments.positions)
    print_figures(figures)
    ours, theirs = (float(np.mean(figure.samples)) for figure in figures)
    sys.stdout.write(f"mean: ours {ours:.6f}, llama.cpp {theirs:.6f} nats, {ours / theirs:.2f} times as far\n")
    if arguments.json:
        arguments.json.write_text(json.dumps([figure.as_json() for figure in figures], indent=1) + "\n")


if __name__ == "__main__":
    main()
