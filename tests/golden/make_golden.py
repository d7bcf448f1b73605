"""Make the golden data of a real model.

Run by a peer's Python (see ``make peers``) in the repository's root:

    ~/.cache/weos-engine/peers/avx2/bin/python -m tests.golden.make_golden smollm2 SmolLM2-135M-Instruct.Q4_1.gguf

For each prompt llama.cpp continues greedily for 64 tokens, past any end-of-sequence token. The path it takes is
then walked by exact arithmetic (:mod:`tests.golden.exact.model`), and the two sets of logits are compared. Writes
NAME.json (prompts and paths) and NAME.npz (logits) beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from tests.golden import prompts
from tests.golden.dequantize import write_dequantized
from tests.golden.exact.model import ExactModel
from tests.golden.peer import Peer

GREEDY_TOKENS = 64
SAMPLED_STEPS = range(0, GREEDY_TOKENS, 4)
"""The steps whose exact logits are kept, of a random part of the vocabulary: all of them would be 200 MB."""
SAMPLED_IDS = 512
SAMPLE_SEED = 2026
CONTEXT_SLACK = 64
FOLDER = Path(__file__).parent
PROMPTS = {"smollm2": prompts.SMOLLM2, "qwen2": prompts.QWEN2, "stories": prompts.STORIES, "gemma3": prompts.GEMMA3}

Logits = npt.NDArray[np.float32]


def greedy_path(peer: Peer, prompt: Sequence[int]) -> tuple[list[int], Logits]:
    """The tokens llama.cpp chooses and the logits it chose each from. The lowest id wins a tie."""
    peer.restart()
    logits = [peer.extend(prompt)[0]]
    path = [int(logits[0].argmax())]
    while len(path) < GREEDY_TOKENS:
        logits.append(peer.extend(path[-1:])[0])
        path.append(int(logits[-1].argmax()))
    return path, np.stack(logits)


def walk(model: ExactModel, prompt_ids: list[list[int]], paths: list[list[int]]) -> list[Logits]:
    """The exact logits at every step of every path."""
    sequences = [ids + path[:-1] for ids, path in zip(prompt_ids, paths, strict=True)]
    positions = [range(len(ids) - 1, len(ids) - 1 + GREEDY_TOKENS) for ids in prompt_ids]
    return [exact.astype(np.float32) for exact in model.logits(sequences, positions)]


def arrays(peer_logits: list[Logits], exact_logits: list[Logits]) -> dict[str, npt.NDArray[Any]]:
    """What is kept of the logits; every array but ``sample_ids`` starts with the prompts' axis."""
    peer, exact = np.stack(peer_logits), np.stack(exact_logits)
    sample = np.sort(np.random.default_rng(SAMPLE_SEED).choice(peer.shape[-1], SAMPLED_IDS, replace=False))
    top = np.argsort(-peer, axis=-1, kind="stable")[..., :2]
    difference = np.abs(peer - exact)
    return {
        "sample_ids": sample.astype(np.int32),
        "top_ids": top.astype(np.int32),
        "top_logits": np.take_along_axis(peer, top, -1),
        "exact_top_logits": np.take_along_axis(exact, top, -1),
        "exact_best_ids": exact.argmax(-1).astype(np.int32),
        "exact_sample": exact[:, list(SAMPLED_STEPS)][..., sample],
        "peer_distance": difference.mean(-1),
        "peer_sample_distance": difference[:, list(SAMPLED_STEPS)][..., sample].mean(-1),
    }


def float32_distance(model: Path, sequence: list[int], exact: Logits) -> float:
    """How far llama.cpp itself lies from the reference on the same weights in F32, with an F32 KV cache: a check of
    the reference, on one sequence's last positions."""
    plain = model.with_suffix(".dequantized-f32.gguf")
    if not plain.exists():
        write_dequantized(model, plain)
    peer = Peer(plain, context_length=len(sequence) + CONTEXT_SLACK, kv_type="f32")
    logits = peer.extend(sequence, len(sequence) - GREEDY_TOKENS)
    peer.close()
    return float(np.abs(logits - exact).mean())


def write_json(path: Path, head: dict[str, Any], prompts_made: list[dict[str, Any]]) -> None:
    """One line a prompt, so that a difference shows which."""
    lines = ",\n".join(json.dumps(prompt, ensure_ascii=False) for prompt in prompts_made)
    path.write_text(json.dumps(head, indent=1)[:-2] + ',\n "prompts": [\n' + lines + "\n]}\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PROMPTS)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2, help="llama.cpp's")
    parser.add_argument("--check-reference", action="store_true", help="also run llama.cpp on the weights in F32")
    arguments = parser.parse_args()
    texts = PROMPTS[arguments.name]

    tokenizer = Peer(arguments.model, context_length=CONTEXT_SLACK)
    prompt_ids = [tokenizer.tokenize(text) for text in texts.values()]
    tokenizer.close()
    longest = max(len(ids) for ids in prompt_ids)
    peer = Peer(arguments.model, context_length=longest + GREEDY_TOKENS + CONTEXT_SLACK, threads=arguments.threads)
    paths, peer_logits = zip(*(greedy_path(peer, ids) for ids in prompt_ids), strict=True)
    ends = [next((step for step, token in enumerate(path) if peer.ends(token)), None) for path in paths]
    peer.close()
    exact_logits = walk(ExactModel(arguments.model), prompt_ids, list(paths))

    kept = arrays(list(peer_logits), exact_logits)
    np.savez_compressed(FOLDER / f"{arguments.name}.npz", **kept)  # type: ignore[arg-type]
    head: dict[str, Any] = {
        "model": arguments.model.name,
        "model_sha256": hashlib.sha256(arguments.model.read_bytes()).hexdigest(),
        "peer": f"llama-cpp-python {llama_cpp.__version__}",
        "peer_system": llama_cpp.llama_print_system_info().decode().strip(" |"),
        "peer_settings": f"{arguments.threads} threads, KV cache f16, flash attention off, batch 512",
        "sample_seed": SAMPLE_SEED,
        "sampled_steps": list(SAMPLED_STEPS),
        "peer_distance": float(kept["peer_distance"].mean()),
    }
    if arguments.check_reference:
        sequence = prompt_ids[0] + paths[0][:-1]
        head["float32_peer_distance"] = float32_distance(arguments.model, sequence, exact_logits[0])
    made = [
        {"name": name, "text": text, "token_ids": ids, "greedy_token_ids": path, "ended_at": end}
        for (name, text), ids, path, end in zip(texts.items(), prompt_ids, paths, ends, strict=True)
    ]
    write_json(FOLDER / f"{arguments.name}.json", head, made)


if __name__ == "__main__":
    main()
