"""Time to the first token of a prompt whose beginning was computed before, and that the bits are the same.

The prompts are one text with another question at its end. Each is run cold (the cache cleared) and found, in turns.
"""

from __future__ import annotations

import time

from benchmarks.support.report import Figure
from benchmarks.support.served import served_engine
from benchmarks.support.setting import Setting
from protocol.answers import Finished, Tokens
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord
from protocol.requests import ClearPrefixCache, Tokenize

PROMPT_TOKENS = 2000
ROUNDS = 9
_SENTENCE = "The engine carries a plan out, measures it and reports what it was given and what it has done. "


def measure(setting: Setting) -> list[Figure]:
    """Raises RuntimeError where a hit gives other bits than a cold run, or finds less than all whole blocks."""
    cold_ms: list[float] = []
    hit_ms: list[float] = []
    with served_engine() as socket, BlockingClient.connect(socket) as client:
        text = _text(client, setting.model)
        _run(client, setting.model, text)  # the engine has the weights from here on
        for number in range(ROUNDS):
            question = f"{text}Question {number}"
            client.ask(ClearPrefixCache())
            cold, waited_ms = _run(client, setting.model, question)
            cold_ms.append(waited_ms)
            client.ask(ClearPrefixCache())
            _run(client, setting.model, text)
            hit, waited_ms = _run(client, setting.model, question)
            hit_ms.append(waited_ms)
            _require_same(cold, hit)
    share = [found / whole for found, whole in zip(hit_ms, cold_ms, strict=True)]
    return [
        Figure(f"Run frame sent to first token, {PROMPT_TOKENS} tokens of prompt, computed", "ms", cold_ms),
        Figure(f"the same, all but {_uncached(hit)} tokens found in the prefix cache", "ms", hit_ms),
        Figure("found by computed", "", share, at_most=0.1),
    ]


def _text(client: BlockingClient, model: str) -> str:
    """A text of about this many tokens."""
    tokens_each = len(client.ask(Tokenize(model=model, text=_SENTENCE * 10, add_special=False)).token_ids) / 10
    return _SENTENCE * round(PROMPT_TOKENS / tokens_each)


def _run(client: BlockingClient, model: str, prompt: str) -> tuple[ExecutionRecord, float]:
    """The record, and the milliseconds to the first token."""
    execution = ExecutionRequest(prefix_cache="on", limits=Limits(max_tokens=4))
    began = time.monotonic_ns()
    first = None
    for message in client.run(RunRequest(model=model, prompt=prompt, execution=execution)):
        if isinstance(message, Tokens) and first is None:
            first = time.monotonic_ns()
        if isinstance(message, Finished) and first is not None:
            return message.record, (first - began) / 1e6
    raise RuntimeError("the run gave no token")


def _uncached(record: ExecutionRecord) -> int:
    return record.metrics.prompt_tokens - (record.metrics.cached_prompt_tokens or 0)


def _require_same(cold: ExecutionRecord, hit: ExecutionRecord) -> None:
    if cold.metrics.cached_prompt_tokens != 0 or not 0 < _uncached(hit) <= 2 * 64:
        raise RuntimeError(f"found {cold.metrics.cached_prompt_tokens} and {hit.metrics.cached_prompt_tokens} tokens")
    if (cold.token_ids, cold.logits_digest) != (hit.token_ids, hit.logits_digest):
        raise RuntimeError("a hit gave other bits than a cold run")
