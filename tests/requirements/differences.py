"""Differences among the documents, or from the engine: what was settled, and why."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    subject: str
    documents: str
    settled: str
    why: str


DIFFERENCES = (
    Difference(
        "language of CLI and API",
        "C++ (Stack Tecnológico §13); Python for tools alone, and no control of backends (§3.2)",
        "run loop, operations and memory are C++; actors, plans and CLI are Python, and no Python runs a token",
        "what the rule protects is the token's path: there Python has no part, and the cost is measured (RNF-01)",
    ),
    Difference(
        "local API",
        "HTTP or gRPC with JSON (RF-07, Stack Tecnológico §12)",
        "msgpack on a Unix socket, with the documents' field names; HTTP with JSON beside it ([http.md](http.md))",
        "streams, many requests on one connection and the kernel's own check of who connects",
    ),
    Difference(
        "logging, serialization, benchmarks",
        "spdlog, JSON by hand, google-benchmark (Stack Tecnológico §6)",
        "stderr and typed events, pydantic and msgpack, `python -m benchmarks`",
        "schemas validate what JSON by hand would not (RNF-04); the core itself needs none of these",
    ),
    Difference(
        "the plan's model",
        "`model` (Documentação Completa §2.4), `model_ref` (§3.4)",
        "`model` in a request, `model_ref` in a plan: name, path, content hash, architecture, types",
        "a name can come to mean another file; a hash cannot",
    ),
    Difference(
        "generated tokens",
        "`tokens` (Documentação Completa §3.13), `tokens_total` (§4.4.1)",
        "`tokens_total`",
        "§4 is the chapter that fixes names",
    ),
    Difference(
        "unit of `tokens_per_watt`",
        "tokens/watt (Documentação Completa §4.4.6), by the formula tokens per second for each watt",
        "tokens per joule, everywhere",
        "that is what the formula gives",
    ),
    Difference(
        "`watts_avg` is mandatory",
        "in every execution (Documentação Completa §4.4.5)",
        "`null` with a reason where nothing measures; modelled where that was asked for or declared, and marked",
        "an unmeasured number is no metric (§4.2: nothing implicit or inferred)",
    ),
    Difference(
        "`max_watts` where nothing measures",
        "every example has it",
        "refused with the remedy in one line, unless a model of the machine's watts was declared",
        "a limit that is not watched is no limit",
    ),
    Difference(
        "idle power",
        "excluded before and after the execution (Documentação Completa §4.4.5)",
        "read at both ends of the active interval; idle power within it counts, told apart where it was measured",
        "the machine draws it because it serves; subtracting it would hide what a longer run costs",
    ),
    Difference(
        "total latency",
        "total time of the execution (Documentação Completa §4.4.3)",
        "the active interval, from the first prefill step to the last token; `wall_ms` is all, from request to record",
        "the same interval as the watts', so that `tokens_per_watt` holds together",
    ),
    Difference(
        "limits of energy",
        "`max_watts` (examples), a limit of energy ends an execution (Documentação Completa §3.12)",
        "`max_watts` on average over a second or more, which stops or throttles; `max_joules`, which stops",
        "watts are power; a limit of energy is one of joules",
    ),
    Difference(
        "emission of tokens",
        "each at once (Documentação Completa §3.10)",
        "the first at once, no later one waits longer than the plan's `stream.flush_ms`; 0 sends each",
        "with as many compute threads as CPUs a wake-up a token takes time from the kernels (RNF-01)",
    ),
    Difference(
        "scheduler",
        "simple, without preemption or complex reordering (Documentação Completa §3.5); policies (RF-05)",
        "five policies, pure functions with a bound on overtaking; what runs is paused by its own limit of watts alone",
        "RF-05 asks for the policies; the bound keeps them predictable",
    ),
    Difference(
        "AVX-512",
        "optional (Stack Tecnológico §7.1), CPU (AVX2) (Requisitos §3)",
        "`cpu_avx2`, `cpu_avx_vnni`, `cpu_avx512`, `cpu_amx` and a scalar `reference`, of the same bits",
        "the plan names one; which one runs changes the speed and no result",
    ),
    Difference(
        "default of `max_tokens`",
        "512 (Documentação Completa §3.4), given as 256 in the Run Request",
        "512, written into the plan",
        "the plan of §3.4 is the one that fills in a default",
    ),
    Difference(
        "names of quantizations",
        "Q4_K_M (RF-03), `q4_k_m` (examples)",
        "taken in capitals or small letters, `q4_k_m` in the plan; `native` where none is asked for",
        "equal decisions must have equal fingerprints",
    ),
    Difference(
        "`execution_id`",
        "`exec_9f32` (Integração com WeOS §6)",
        "an identifier that is unique across engines and restarts",
        "records of all engines of a user share one chain",
    ),
)
