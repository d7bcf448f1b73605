"""llama.cpp's vectors of texts through its Python binding. Runs in a llama.cpp peer's environment (``make peers``).

usage: ~/.cache/weos-engine/peers/avx2/bin/python -P benchmarks/support/llama_cpp_embeddings.py MODEL.gguf FLASH

One thread. FLASH is 0 or 1. Says ``ready``; then each line of standard input is a JSON array of texts, and each line of
standard output a JSON object: the ``seconds`` of CPU time from texts to normalized means, how many ``tokens`` they had,
and the ``vector`` of the first.
"""

from __future__ import annotations

import json
import sys
import time

import llama_cpp

BATCH = 512


def main(path: str, flash: bool) -> None:
    llama = llama_cpp.Llama(
        path,
        embedding=True,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_MEAN,
        n_ctx=BATCH,
        n_batch=BATCH,
        n_ubatch=BATCH,
        n_threads=1,
        n_threads_batch=1,
        flash_attn=flash,
        verbose=False,
    )
    print("ready", flush=True)
    for line in sys.stdin:
        texts = json.loads(line)
        began = time.process_time()
        vectors, tokens = llama.embed(texts, normalize=True, return_count=True)
        seconds = time.process_time() - began
        print(json.dumps({"seconds": seconds, "tokens": tokens, "vector": vectors[0]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1")
