"""The one scale on which executions of every policy are ranked: the moment from which each is due.

    due = queued + delay - priority x 1 s          delay between 0 and 20 s, by the execution's own policy

The earlier due goes first. A due time never moves with time, so waiting alone brings an execution to the front: nobody
who was queued ``AGING_BOUND_MS`` after it can be ahead of it, whatever the policies, priorities and costs of both.
"""

from __future__ import annotations

from typing_extensions import assert_never

from actors.policies.candidate import Candidate

MAX_DELAY_MS = 20_000.0
PRIORITY_MS = 1_000.0
MAX_PRIORITY = 10
AGING_BOUND_MS = MAX_DELAY_MS + 2 * MAX_PRIORITY * PRIORITY_MS

GATHER_MS = {"cost": 100.0, "energy": 400.0, "latency_energy_balanced": 100.0}
"""How long an execution waits for company that would share the reading of its weights."""

# Costs are turned into time by the rates of a nominal machine, two cores with AVX2: only their ratio and their order of
# magnitude matter here, and a policy that learned rates would rank the same queue differently each time.
_MACS_A_MS = 2e8
_BYTES_A_MS = 2e7

_LATENCY_STRETCH = 10.0
_COST_STRETCH = 2.0
"""Milliseconds that an execution lets others go ahead for each of machine time that it takes."""
_ENERGY_DELAY_MS_A_JOULE = 100.0


def due_ns(candidate: Candidate) -> int:
    """In ``time.monotonic_ns``; it depends on the candidate alone."""
    delay_ms = min(MAX_DELAY_MS, _delay_ms(candidate))
    return candidate.queued_ns + round(1e6 * (delay_ms - PRIORITY_MS * candidate.priority))


def latest_due_ns(candidate: Candidate) -> int:
    """When it would be due with the longest delay there is."""
    return candidate.queued_ns + round(1e6 * (MAX_DELAY_MS - PRIORITY_MS * candidate.priority))


def prefill_ms(candidate: Candidate) -> float:
    """Machine time of the prompt."""
    return candidate.cost.prefill_macs / _MACS_A_MS


def machine_ms(candidate: Candidate) -> float:
    """Machine time that the candidate adds to a batch as large as it allows, which reads the weights together."""
    cost = candidate.cost
    step_bytes = candidate.sequences * cost.weights_bytes / candidate.max_sequences + cost.kv_cache_bytes
    return prefill_ms(candidate) + candidate.max_tokens * step_bytes / _BYTES_A_MS


def joules(candidate: Candidate) -> float:
    """Joules the candidate is taken to use, by its nominal watts."""
    return candidate.nominal_watts * machine_ms(candidate) / 1e3


def _delay_ms(candidate: Candidate) -> float:
    match candidate.policy:
        case "default":
            return 0.0
        case "latency":
            return _latency_delay_ms(candidate)
        case "cost":
            return GATHER_MS["cost"] + _COST_STRETCH * machine_ms(candidate)
        case "energy":
            return _energy_delay_ms(candidate)
        case "latency_energy_balanced":
            return (_latency_delay_ms(candidate) + _energy_delay_ms(candidate)) / 2
        case _:
            assert_never(candidate.policy)


def _latency_delay_ms(candidate: Candidate) -> float:
    return _LATENCY_STRETCH * machine_ms(candidate)


def _energy_delay_ms(candidate: Candidate) -> float:
    return GATHER_MS["energy"] + _ENERGY_DELAY_MS_A_JOULE * joules(candidate)
