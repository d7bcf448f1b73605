"""Time to open a vocabulary: from the file's keys to a tokenizer that encodes and decodes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine import _core
from engine.text.tokenizer import Tokenizer

ROUNDS = 9
TEXT = "Open sesame, said the 2nd of the 40 thieves.\n"


def measure(setting: Setting) -> list[Figure]:
    path = setting.path
    size = len(_open(path))
    name = f"open a vocabulary of {size:,} tokens and encode a line"
    return [Figure(name, "ms", [_ms(lambda: _open(path)) for _ in range(ROUNDS)], at_most=800)]


def _open(path: Path) -> Tokenizer:
    tokenizer = Tokenizer(_core.GgufFile(str(path)))
    tokenizer.encode(TEXT)
    return tokenizer


def _ms(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1e3
