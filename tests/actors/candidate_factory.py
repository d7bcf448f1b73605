"""Candidates of a model whose prompt tokens and decode steps take a millisecond each by the policies' estimate."""

from __future__ import annotations

from actors.policies.candidate import Candidate, Cost
from actors.policies.requester import Requester
from engine.batch_key import BatchKey, WeightsKey
from protocol.plan import SchedulerPolicy

MS = 1_000_000
MACS_A_TOKEN = 200_000_000
WEIGHTS_BYTES = 20_000_000


def make_candidate(
    name: str,
    model: str = "m",
    *,
    policy: SchedulerPolicy = "default",
    priority: int = 0,
    sequences: int = 1,
    max_sequences: int = 2,
    prompt_tokens: int = 1,
    max_tokens: int = 1,
    nominal_watts: float = 20.0,
    queued_ms: int = 0,
    client: str = "one",
    ahead: int = 0,
) -> Candidate:
    return Candidate(
        execution_id=name,
        requester=Requester(user="uid:1000", client=client),
        ahead=ahead,
        batch_key=BatchKey(
            weights=WeightsKey(content_hash=model, quantization="native", backend="reference"),
            threads=1,
            spin_us=0,
            prefill_chunk=256,
        ),
        policy=policy,
        priority=priority,
        sequences=sequences,
        max_sequences=max_sequences,
        prompt_tokens=prompt_tokens,
        max_tokens=max_tokens,
        cost=Cost(prefill_macs=MACS_A_TOKEN * prompt_tokens, weights_bytes=WEIGHTS_BYTES, kv_cache_bytes=0),
        nominal_watts=nominal_watts,
        queued_ns=queued_ms * MS,
    )
