"""The engine as the golden tests drive it: its logits along a golden path, and its own greedy answers."""

from __future__ import annotations

import select
from collections.abc import Sequence
from pathlib import Path

from engine import _core
from tests.golden.golden_data import Comparison, Golden, GoldenPrompt, compare


def compare_engine(golden: Golden, model: _core.Model, threads: int) -> list[Comparison]:
    """Walk every golden path with the engine's own arithmetic, one prompt at a time to bound memory."""
    return [compare_prompt(golden, prompt, model, threads) for prompt in golden.prompts]


def compare_prompt(golden: Golden, prompt: GoldenPrompt, model: _core.Model, threads: int) -> Comparison:
    logits = model.logits([prompt.forced_ids], threads=threads)[0]
    return compare(golden, prompt, logits[-len(prompt.greedy_token_ids) :])


def greedy_answers(
    path: Path, model: _core.Model, prompts: Sequence[Sequence[int]], max_tokens: int, threads: int
) -> list[list[int]]:
    """The token ids the run loop answers each prompt with, all prompts at once, no token ending an answer."""
    vocabulary = _core.Vocabulary(_core.GgufFile(str(path)))
    answers: list[list[int]] = [[] for _ in prompts]
    loop = _core.RunLoop()
    try:
        for index, prompt in enumerate(prompts):
            _submit(loop, index, model, vocabulary, prompt, max_tokens, threads)
        running = len(prompts)
        while running:
            select.select([loop.event_fd], [], [])
            for events in loop.drain():
                answers[events.sequence_id] += events.token_ids
                running -= events.stop_reason is not None
    finally:
        loop.close()
    return answers


def _submit(
    loop: _core.RunLoop,
    sequence_id: int,
    model: _core.Model,
    vocabulary: _core.Vocabulary,
    prompt: Sequence[int],
    max_tokens: int,
    threads: int,
) -> None:
    settings = _core.GroupSettings(model, threads=threads, spin_us=50, prefill_chunk=256)
    options = _core.SequenceOptions(context_length=len(prompt) + max_tokens, max_tokens=max_tokens, flush_ms=30)
    loop.submit(sequence_id, settings, prompt, vocabulary, options)
