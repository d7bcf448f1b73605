"""Token ids beside llama.cpp's, for every family of pre-tokenizers, on random texts.

    .venv/bin/python -m benchmarks.tokenizer_agreement [--texts N] [--only FAMILY] [--json FILE]

Each family runs on a real vocabulary: its own where llama.cpp's tree has it, else one whose ``tokenizer.ggml.pre`` is
rewritten. A difference is explained where the family's expressions *as llama.cpp rewrites them* give llama.cpp's ids;
an unexplained one fails the command. ``--json`` keeps counts and digests, to which
``tests/engine/test_tokenizer_agreement.py`` holds the engine. Needs ``make peers``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.support.llama_cpp import peers_folder
from benchmarks.support.random_texts import random_texts
from engine import _core
from engine.text.pre_tokenizers import FAMILIES, PRE_TOKENIZERS, PreTokenizer
from engine.text.tokenizer import Tokenizer

SEED = 9
TEXTS = 10_000
SHORT_RUN = 500
"""Texts whose ids have a digest of their own, for a quick test."""

OWN_VOCABULARIES = (
    "falcon", "gpt-2", "mpt", "starcoder", "refact", "command-r", "llama-bpe", "qwen2", "qwen35", "deepseek-llm",
    "deepseek-coder",
)  # fmt: skip
BORROWED = "llama-bpe"
WITHOUT_PRE = ("gemma-4", "llama-spm", "phi-3", "baichuan")
"""Vocabularies that are not cut into words by ``tokenizer.ggml.pre``."""
PRE = b"tokenizer.ggml.pre"
_UNASSIGNED = 1
"""llama.cpp's flag."""

REWRITINGS = (
    # No folding of case,
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"),
    # no classes of letters,
    (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{L}&&[^a-z]]"),
    (r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[\p{L}&&[^A-Z]]"),
    # and no white space beyond ASCII but as vertical tabs, which no range of others holds.
    ("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"[\S&&[" + "\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]]+"),
    ("\u3000-\u3002", "\u3001-\u3002"),
)
"""Ranges in the models' own expressions, and those that llama.cpp has instead."""

Ids = list[list[int]]


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    """One of its names, which stands for all, or a vocabulary's where it is cut by none."""
    vocabulary: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    family: Family
    texts: int
    differing: int
    unexplained: tuple[str, ...]
    short_digest: str
    """Digest of the engine's ids for the first texts."""
    digest: str

    def as_json(self) -> dict[str, Any]:
        return {
            "family": self.family.name,
            "vocabulary": self.family.vocabulary,
            "aliases": list(self.family.aliases),
            "texts": self.texts,
            "differing": self.differing,
            "short_digest": self.short_digest,
            "digest": self.digest,
        }


def families() -> tuple[Family, ...]:
    """Every family, by the name that has a vocabulary of its own where one has."""
    found = []
    for names in FAMILIES.values():
        name = next((name for name in names if name in OWN_VOCABULARIES), names[0])
        vocabulary = name if name in OWN_VOCABULARIES else BORROWED
        found.append(Family(name, vocabulary, tuple(alias for alias in names if alias != name)))
    return (*found, *(Family(name, name) for name in WITHOUT_PRE))


def vocabulary_file(name: str) -> Path:
    """The vocabulary's file in llama.cpp's tree. Raises FileNotFoundError if it is not there."""
    path = f"avx2/llama_cpp_python-*/vendor/llama.cpp/models/ggml-vocab-{name}.gguf"
    found = sorted(peers_folder().glob(path))
    if not found:
        raise FileNotFoundError(f"no {path} in {peers_folder()}: run make peers")
    return found[-1]


def with_pre(vocabulary: bytes, pre: str) -> bytes:
    """A file that holds a vocabulary alone, with another ``tokenizer.ggml.pre``.

    Raises:
        ValueError: it has none to replace.
    """
    head = len(PRE).to_bytes(8, "little") + PRE + (8).to_bytes(4, "little")
    at = vocabulary.find(head)
    if at < 0:
        raise ValueError(f"the file has no key {PRE.decode()}")
    begin = at + len(head)
    old = int.from_bytes(vocabulary[begin : begin + 8], "little")
    return vocabulary[:begin] + len(pre).to_bytes(8, "little") + pre.encode() + vocabulary[begin + 8 + old :]


def family_file(family: Family, pre: str, folder: Path) -> Path:
    """The family's vocabulary, written to ``folder`` with that ``pre``."""
    source = vocabulary_file(family.vocabulary).read_bytes()
    path = folder / f"{family.name}-{pre}.gguf"
    path.write_bytes(source if family.name in WITHOUT_PRE else with_pre(source, pre))
    return path


def family_texts(path: Path, count: int) -> list[tuple[str, bool]]:
    """Random texts with special tokens of the vocabulary strewn in, every other one to have them parsed."""
    gguf = _core.GgufFile(str(path))
    types = gguf.get("tokenizer.ggml.token_type")
    special = [token for token, kind in zip(gguf.get("tokenizer.ggml.tokens"), types, strict=True) if kind in (2, 3, 4)]
    texts = random_texts(count, SEED, special[:64])
    return [(text, bool(number % 2)) for number, text in enumerate(texts)]


def engine_ids(path: Path, texts: Sequence[tuple[str, bool]]) -> Ids:
    tokenizer = Tokenizer(_core.GgufFile(str(path)))
    return [tokenizer.encode(text, special, special) for text, special in texts]


def ids_as_llama_cpp_cuts(path: Path, pre: str, texts: Sequence[tuple[str, bool]]) -> Ids:
    """The engine's ids with llama.cpp's rewritten expressions."""
    own = PRE_TOKENIZERS[pre]
    expressions = tuple(as_llama_cpp_has_it(expression) for expression in own.expressions)
    with patch.dict(PRE_TOKENIZERS, {pre: PreTokenizer(expressions, own.ignore_merges, own.add_bos)}):
        return engine_ids(path, texts)


def as_llama_cpp_has_it(expression: str) -> str:
    for ours, theirs in REWRITINGS:
        expression = expression.replace(ours, theirs)
    unassigned = unassigned_in_llama_cpp()
    return re.sub(r"\\p\{\w+\}", lambda match: f"[{match[0]}&&[^{unassigned}]]", expression)


@cache
def unassigned_in_llama_cpp() -> str:
    """Code points that its version of Unicode does not have, as the inside of a character class."""
    source = vocabulary_file(BORROWED).parents[1] / "src" / "unicode-data.cpp"
    table = source.read_text(encoding="utf-8").partition("unicode_ranges_flags")[2].partition("};")[0]
    starts = [(int(start, 16), int(flags, 16)) for start, flags in re.findall(r"\{(0x\w+), (0x\w+)\}", table)]
    return "".join(
        f"\\x{{{start:x}}}-\\x{{{end - 1:x}}}" for (start, flags), (end, _) in pairwise(starts) if flags == _UNASSIGNED
    )


def llama_cpp_ids(path: Path, texts: Sequence[tuple[str, bool]]) -> Ids:
    """Raises RuntimeError where llama.cpp fails."""
    program = Path(__file__).with_name("support") / "llama_cpp_tokens.py"
    command = [str(peers_folder() / "avx2" / "bin" / "python"), "-I", str(program), str(path)]
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    run = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"llama.cpp ended with {run.returncode}: {run.stderr[-2000:]}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def digest(ids: Ids) -> str:
    return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()


def compare(family: Family, pre: str, count: int, folder: Path) -> Agreement:
    path = family_file(family, pre, folder)
    texts = family_texts(path, count)
    ours, theirs = engine_ids(path, texts), llama_cpp_ids(path, texts)
    differing = [number for number in range(count) if ours[number] != theirs[number]]
    unexplained: list[str] = []
    if differing and pre in PRE_TOKENIZERS:
        explained = ids_as_llama_cpp_cuts(path, pre, [texts[number] for number in differing])
        unexplained = [
            texts[number][0] for number, ids in zip(differing, explained, strict=True) if ids != theirs[number]
        ]
    elif differing:
        unexplained = [texts[number][0] for number in differing]
    path.unlink()
    return Agreement(family, count, len(differing), tuple(unexplained), digest(ours[:SHORT_RUN]), digest(ours))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.tokenizer_agreement", description=__doc__)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--only", help="one family's name")
    parser.add_argument("--json", type=Path, help="write counts and digests here")
    arguments = parser.parse_args()
    agreements, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for family in families():
            if arguments.only not in (None, family.name):
                continue
            names = (family.name, *family.aliases)
            checks = [compare(family, name, arguments.texts, Path(folder)) for name in names]
            agreements.append(checks[0])
            for name, check in zip(names, checks, strict=True):
                failed |= bool(check.unexplained)
                print(
                    f"{name:16} {check.texts:6} texts {check.differing:6} differ, {len(check.unexplained)} unexplained"
                )
                for text in check.unexplained[:3]:
                    print(f"    {text!a}")
            sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps([agreement.as_json() for agreement in agreements], indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
