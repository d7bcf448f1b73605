"""Golden data of GBNF: what llama.cpp makes of random grammars and of its own.

    .venv/bin/python tests/golden/make_gbnf.py

Compiles llama.cpp's grammars, from the sources that ``make peers`` keeps, beside ``tests/golden/gbnf_peer.cpp``. Prints
how the grammars that come with llama.cpp compare, which are no part of this repository.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.support.llama_cpp import peers_folder  # noqa: E402
from tests.fuzz.gbnf_grammars import candidate_texts, random_gbnf, texts_of  # noqa: E402

GRAMMARS = 500
DATA = ROOT / "tests/golden/gbnf.json"


class Peer:
    def __init__(self, llama: Path, folder: Path) -> None:
        program = folder / "gbnf-peer"
        folders = [f"-I{llama / name}" for name in ("include", "ggml/include", "src")]
        sources = [ROOT / "tests/golden/gbnf_peer.cpp", llama / "src/llama-grammar.cpp"]
        subprocess.run(["g++", "-std=c++17", "-O1", "-w", *folders, *sources, "-o", program], check=True)  # noqa: S603, S607
        self._process = subprocess.Popen(  # noqa: S603
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=(folder / "errors").open("wb"), text=True
        )
        self._errors = folder / "errors"

    def _ask(self, kind: str, text: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind} {text.encode().hex()}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def read(self, grammar: str) -> str:
        """``read``, ``left recursion`` or ``refused``."""
        told = self._errors.stat().st_size
        if self._ask("G", grammar) == "1":
            return "read"
        return "left recursion" if b"left recursion" in self._errors.read_bytes()[told:] else "refused"

    def holds(self, text: str) -> bool:
        return self._ask("S", text) == "1"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", type=Path, help="llama.cpp's sources")
    given = parser.parse_args().llama
    found = sorted(peers_folder().glob("avx2/llama_cpp_python-*/vendor/llama.cpp"))
    with tempfile.TemporaryDirectory() as folder:
        peer = Peer(given or found[-1], Path(folder))
        data = []
        for seed in range(GRAMMARS):
            grammar = random_gbnf(seed)
            verdict = peer.read(grammar)
            texts = candidate_texts(grammar, seed) if verdict == "read" else []
            data.append({"seed": seed, "verdict": verdict, "texts": {text: peer.holds(text) for text in texts}})
        DATA.write_text(
            json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace('{"seed"', '\n{"seed"') + "\n"
        )
        print(Counter(each["verdict"] for each in data))  # noqa: T201
        for path in sorted(((given or found[-1]) / "grammars").glob("*.gbnf")):
            source = path.read_text()
            assert peer.read(source) == "read"
            held = [peer.holds(text) for text in texts_of(source, random.Random(path.name), 200)]
            print(f"{path.name}: {sum(held)} of {len(held)} texts are llama.cpp's too")  # noqa: T201


if __name__ == "__main__":
    main()
