"""Runs in openvino-genai's environment: for each number read from stdin, seconds of a prefill of that many tokens.

usage: python openvino_prefill.py MODEL.gguf THREADS
"""

from __future__ import annotations

import sys
import time

import numpy as np
import openvino
import openvino_genai


def main() -> None:
    path, threads = sys.argv[1], int(sys.argv[2])
    pipeline = openvino_genai.LLMPipeline(path, "CPU", INFERENCE_NUM_THREADS=threads)
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = 1
    config.ignore_eos = True
    config.do_sample = False
    random = np.random.default_rng(0)  # never the same prompt twice: prefixes are cached
    print("ready", flush=True)
    for line in sys.stdin:
        token_ids = random.integers(100, 30_000, (1, int(line)))
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(token_ids), openvino.Tensor(np.ones_like(token_ids)))
        began = time.perf_counter()
        pipeline.generate(inputs, config)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
