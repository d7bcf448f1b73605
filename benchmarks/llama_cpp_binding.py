"""Where llama.cpp's Python binding loses time against llama-bench. Runs in a llama.cpp peer's environment.

usage: ~/.cache/weos-engine/peers/avx2/bin/python -P benchmarks/llama_cpp_binding.py MODEL.gguf

Decodes after one token in each of the ways, in turn, and prints the best rate of each: what others use of the machine
only slows a turn down.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import llama_cpp

TOKENS = 64
ROUNDS = 9
THREADS = 2


def generating(path: str, **options: object) -> Callable[[], float]:
    """``Llama.generate``, greedy, as applications use it."""
    llama = llama_cpp.Llama(path, n_ctx=512, verbose=False, **options)

    def rate() -> float:
        llama.reset()
        tokens = llama.generate([1], temp=0.0)
        next(tokens)
        began = time.perf_counter()
        for _ in range(TOKENS):
            next(tokens)
        return TOKENS / (time.perf_counter() - began)

    return rate


def evaluating(path: str, **options: object) -> Callable[[], float]:
    """``Llama.eval``: no sampling."""
    llama = llama_cpp.Llama(path, n_ctx=512, verbose=False, **options)

    def rate() -> float:
        llama.reset()
        llama.eval([1])
        began = time.perf_counter()
        for token in range(2, 2 + TOKENS):
            llama.eval([token])
        return TOKENS / (time.perf_counter() - began)

    return rate


def decoding(path: str, **options: object) -> Callable[[], float]:
    """``llama_decode`` called straight, as llama-bench calls it."""
    llama = llama_cpp.Llama(path, n_ctx=512, verbose=False, **options)
    token = (llama_cpp.llama_token * 1)(1)

    def rate() -> float:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(llama.ctx), True)
        llama_cpp.llama_decode(llama.ctx, llama_cpp.llama_batch_get_one(token, 1))
        began = time.perf_counter()
        for number in range(2, 2 + TOKENS):
            token[0] = number
            llama_cpp.llama_decode(llama.ctx, llama_cpp.llama_batch_get_one(token, 1))
            llama_cpp.llama_synchronize(llama.ctx)
        return TOKENS / (time.perf_counter() - began)

    return rate


def completing(path: str, **options: object) -> Callable[[], float]:
    """``Llama.create_completion``, streamed: from the first piece of text to the last."""
    llama = llama_cpp.Llama(path, n_ctx=512, verbose=False, **options)

    def rate() -> float:
        llama.reset()
        times = [
            time.perf_counter()
            for _ in llama.create_completion("Once upon a time", max_tokens=TOKENS, temperature=0.0, stream=True)
        ]
        return (len(times) - 1) / (times[-1] - times[0])

    return rate


def main() -> None:
    path = sys.argv[1]
    ways = {
        "Llama.generate, its defaults": generating(path),
        f"Llama.create_completion, {THREADS} threads": completing(path, n_threads=THREADS),
        f"Llama.generate, {THREADS} threads": generating(path, n_threads=THREADS),
        f"Llama.generate, {THREADS} threads, flash attention": generating(path, n_threads=THREADS, flash_attn=True),
        f"Llama.eval, {THREADS} threads": evaluating(path, n_threads=THREADS),
        f"llama_decode, {THREADS} threads": decoding(path, n_threads=THREADS),
        f"llama_decode, {THREADS} threads, flash attention": decoding(path, n_threads=THREADS, flash_attn=True),
    }
    best = dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for name, rate in ways.items():
            best[name] = max(best[name], rate())
    for name, tokens_s in best.items():
        print(f"{name:50} {tokens_s:8.1f} tokens/s")


if __name__ == "__main__":
    main()
