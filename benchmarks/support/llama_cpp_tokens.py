"""llama.cpp's token ids of many texts. Runs in a llama.cpp peer's environment (``make peers``).

usage: ~/.cache/weos-engine/peers/avx2/bin/python -P benchmarks/support/llama_cpp_tokens.py VOCABULARY.gguf <texts >ids

Each line of standard input is a JSON array, a text and whether special tokens are parsed and added; each line of
standard output is the JSON array of its ids.
"""

from __future__ import annotations

import ctypes
import json
import sys

import llama_cpp


def main(path: str) -> None:
    log = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(log, None)
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
    if not model:
        raise SystemExit(f"llama.cpp cannot load {path}")
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    for line in sys.stdin:
        text, special = json.loads(line)
        encoded = text.encode()
        ids = (ctypes.c_int32 * (2 * len(encoded) + 8))()
        count = llama_cpp.llama_tokenize(vocabulary, encoded, len(encoded), ids, len(ids), special, special)
        sys.stdout.write(json.dumps(ids[:count]) + "\n")
    llama_cpp.llama_model_free(model)


if __name__ == "__main__":
    main(sys.argv[1])
