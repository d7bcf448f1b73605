"""A request, a model and a machine go in; a plan with nothing left open, or a typed refusal, comes out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast, get_args

from engine.artifact.choices import check_choices
from engine.artifact.footprint import check_memory, estimate
from engine.artifact.model_facts import ModelFacts
from engine.config import EngineConfig
from engine.host.machine import Machine
from engine.planned_execution import PlannedExecution
from engine.planning.energy_rules import decide_energy_source
from engine.planning.grammar_rules import check_grammar, plan_grammar
from engine.planning.prompt import PreparedPrompt
from engine.planning.sampling_rules import check_sampling, logprob_count, plan_sampling
from engine.planning.speculation_rules import check_draft, check_recurrent, check_speculation, plan_speculation
from engine.planning.stop_rules import plan_stop
from engine.planning.tool_rules import check_tools
from protocol.errors import (
    InvalidPlan,
    InvalidRequest,
    PromptTooLong,
    UnsupportedBackend,
    UnsupportedQuantization,
)
from protocol.passed_on import passed_on
from protocol.plan import (
    PLAN_SCHEMA_VERSION,
    BackendName,
    Batch,
    EnergySourceName,
    ExecutionPlan,
    ExecutionRequest,
    KvCacheType,
    Limits,
    PrefixCache,
    RunRequest,
    SchedulerPolicy,
)
from protocol.quantization import QUANTIZATIONS, Quantization
from protocol.speculation import SpeculationKind

BACKENDS: Final[tuple[BackendName, ...]] = get_args(BackendName)
"""Best first; each names a kernel table."""
_PREFILL_DIVISOR: Final[Mapping[SchedulerPolicy, int]] = {
    "default": 1,
    "latency": 2,
    "cost": 1,
    "energy": 1,
    "latency_energy_balanced": 2,
}
"""What part of ``prefill_chunk`` goes beside decoding, where the request leaves it open."""
_CONTEXT_STEP = 64


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that its model alone can still refuse, and what the machine decides of its plan."""

    request: RunRequest
    backend: BackendName
    threads: int
    energy_source: EnergySourceName


def resolve_plan(
    checked: CheckedRequest,
    model: ModelFacts,
    prompt: PreparedPrompt,
    config: EngineConfig,
    breaker_token_ids: tuple[int, ...] = (),
    string_token_ids: tuple[int, ...] = (),
    token_id: Callable[[str], int | None] = lambda _: None,
    draft: ModelFacts | None = None,
) -> PlannedExecution:
    """The plan of a request. ``breaker_token_ids`` are its DRY breakers in the model's vocabulary, and
    ``string_token_ids`` the control tokens that its stop strings spell; ``token_id`` finds the only token of a text;
    ``draft`` is the model that guesses, where one does.

    Raises:
        InvalidGrammar, GrammarTooLarge: see :func:`plan_grammar`.
        InvalidRequest: a bias of a token that the model does not have, or a stop at one.
        PromptTooLong: the prompt leaves no room in the context.
        InvalidPlan: a context longer than the model was trained for, a KV cache type that does not fit its heads, or
            what a model with recurrent layers cannot do; or see :func:`check_draft`.
        OutOfMemoryBudget: weights, KV cache and activations exceed the memory limit.
    """
    execution = _with_memory_limit(checked.request.execution, config.memory_mb)
    plan = ExecutionPlan(
        schema_version=PLAN_SCHEMA_VERSION,
        model_ref=model.ref,
        backend=checked.backend,
        quantization=cast("Quantization", execution.quantization),
        requantized_from=model.requantized_from,
        kv_cache=_kv_cache(execution, model),
        threads=checked.threads,
        batch=_batch(execution, model, len(prompt.token_ids)),
        prefix_cache=_prefix_cache(execution, model),
        scheduler_policy=cast("SchedulerPolicy", execution.scheduler_policy),
        sampling=plan_sampling(execution.sampling, model.vocab_size, breaker_token_ids),
        logprobs=logprob_count(execution.logprobs),
        speculation=plan_speculation(execution.speculation, checked.backend, model, draft),
        grammar=prompt.call_grammar or plan_grammar(execution.grammar, token_id),
        stop=plan_stop(execution.stop, model, prompt.stop_strings, string_token_ids),
        energy_source=checked.energy_source,
        **passed_on(execution),
        **prompt.plan_fields,
    )
    check_recurrent(plan.speculation, model)
    if draft is not None:
        check_draft(execution, plan.batch.context_length, plan.backend, model, draft)
    planned = planned_execution(plan, model, prompt.token_ids, draft)
    check_memory(planned.estimate, plan.limits.memory_mb)
    return planned


def planned_execution(
    plan: ExecutionPlan, model: ModelFacts, prompt_token_ids: tuple[int, ...], draft: ModelFacts | None = None
) -> PlannedExecution:
    """The plan of a prompt on its model, and the one that guesses, with what follows from it."""
    needed = estimate(plan, model, len(prompt_token_ids), draft)
    return PlannedExecution(plan, plan.fingerprint, prompt_token_ids, needed)


def decide_without_model(
    request: RunRequest, machine: Machine, energy: Mapping[str, str], config: EngineConfig
) -> CheckedRequest:
    """The machine's part of a plan, once nothing is left for which a request can be refused before a model is opened.

    ``energy`` holds every energy source: ``""`` where it works, else the reason why not.

    Raises:
        UnsupportedBackend: unknown, or this machine cannot run it; says why and what it can run.
        UnsupportedQuantization: unknown.
        InvalidRequest: an unknown KV cache type, prefix cache mode or policy, or more threads than allowed CPUs.
        InvalidRequest, InvalidPlan, UnsupportedQuantization: see :func:`check_speculation`.
        InvalidPlan: samplers that cannot work together, more choices than the batch holds, or throttling without
            ``max_watts``.
        InvalidPlan, InvalidGrammar, GrammarTooLarge, GrammarTooDeep: see :func:`check_grammar`.
        InvalidPlan, InvalidRequest: see :func:`check_tools`.
        InvalidRequest, EnergyUnavailable: see :func:`decide_energy_source`.
    """
    execution = request.execution
    backend = choose_backend(execution.backend, machine)
    _check_quantization(execution.quantization)
    _check_known("kv_cache", execution.kv_cache, get_args(KvCacheType))
    _check_known("prefix_cache", execution.prefix_cache, get_args(PrefixCache))
    _check_known("scheduler_policy", execution.scheduler_policy, get_args(SchedulerPolicy))
    check_speculation(execution.speculation)
    threads = choose_threads(execution.threads, machine)
    check_sampling(execution.sampling)
    check_choices(execution)
    check_grammar(execution)
    check_tools(request)
    _check_throttle(execution.limits)
    energy_source = decide_energy_source(execution, config.energy_source, energy)
    return CheckedRequest(request, backend, threads, energy_source)


def capabilities(machine: Machine, energy: Mapping[str, str], config: EngineConfig) -> tuple[str, ...]:
    """What this engine offers on this machine, as ``kind:name``; and the energy source declared at start-up."""
    return (
        *(f"backend:{name}" for name in BACKENDS if machine.kernel_tables.get(name) == ""),
        *(f"quantization:{name}" for name in QUANTIZATIONS),
        *(f"kv_cache:{name}" for name in get_args(KvCacheType)),
        *(f"prefix_cache:{name}" for name in get_args(PrefixCache)),
        *(f"scheduler_policy:{name}" for name in get_args(SchedulerPolicy)),
        *(f"speculation:{name}" for name in get_args(SpeculationKind)),
        *(f"energy_source:{name}" for name, reason in energy.items() if not reason),
        *((f"declared_energy_source:{config.energy_source}",) if config.energy_source else ()),
    )


def _check_known(field: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InvalidRequest(
            f"{field} is {value!r}; allowed: {', '.join(allowed)}",
            field=f"execution.{field}",
            value=value,
            allowed=list(allowed),
        )


def choose_backend(name: str | None, machine: Machine, field: str = "execution.backend") -> BackendName:
    """The backend named, or the best. Raises UnsupportedBackend: unknown, or this machine cannot run it."""
    available = [table for table in BACKENDS if machine.kernel_tables.get(table) == ""]
    if available and name is None:
        return available[0]
    if name in available:
        return name
    reasons = {table: reason for table in BACKENDS if (reason := machine.kernel_tables.get(table, "not built in"))}
    wanted = "no backend can run on this machine" if name is None else f"no backend {name!r} on this machine"
    if name in reasons:
        wanted = f"backend {name!r} cannot run on this machine: {reasons[name]}"
    listed = f"available: {', '.join(available) or 'none'}"
    unavailable = "".join(f"; {table}: {reason}" for table, reason in reasons.items() if table != name)
    raise UnsupportedBackend(
        f"{wanted}; {listed}{unavailable}", field=field, value=name, allowed=available, reasons=reasons
    )


def choose_threads(threads: int | None, machine: Machine, field: str = "execution.threads") -> int:
    """The threads asked for, or one for each allowed CPU. Raises InvalidRequest: more than those."""
    if threads is not None and threads > machine.allowed_cpus:
        raise InvalidRequest(
            f"threads is {threads}; this process is allowed {machine.allowed_cpus} CPUs (its affinity, cut by the "
            "cgroup's quota)",
            field=field,
            value=threads,
            maximum=machine.allowed_cpus,
        )
    return threads or machine.allowed_cpus


def _check_quantization(name: str) -> None:
    if name in QUANTIZATIONS:
        return
    raise UnsupportedQuantization(
        f"{name!r} is not a quantization; allowed: {', '.join(QUANTIZATIONS)} (native: as the weights are in the file)",
        field="execution.quantization",
        value=name,
        allowed=list(QUANTIZATIONS),
    )


def _check_throttle(limits: Limits) -> None:
    if limits.on_max_watts == "throttle" and limits.max_watts is None:
        raise InvalidPlan(
            "limits.on_max_watts is 'throttle', which needs limits.max_watts", field="execution.limits.on_max_watts"
        )


def prefill_beside_decode(policy: SchedulerPolicy, prefill_chunk: int) -> int:
    """What a plan of this policy says where the request leaves it open."""
    return max(1, prefill_chunk // _PREFILL_DIVISOR[policy])


def _with_memory_limit(execution: ExecutionRequest, memory_mb: int | None) -> ExecutionRequest:
    """With the engine's own limit where the request has none."""
    limits = execution.limits.model_copy(update={"memory_mb": execution.limits.memory_mb or memory_mb})
    return execution.model_copy(update={"limits": limits})


def _kv_cache(execution: ExecutionRequest, model: ModelFacts) -> KvCacheType:
    name = cast("KvCacheType", execution.kv_cache)
    if name not in model.kv_bytes_per_token:
        raise InvalidPlan(
            f"kv_cache is {name!r}, which needs heads of a multiple of 32 channels; {model.ref.name}'s have "
            f"{model.head_dim}",
            field="execution.kv_cache",
            value=name,
            allowed=list(model.kv_bytes_per_token),
            head_dim=model.head_dim,
        )
    return name


def _prefix_cache(execution: ExecutionRequest, model: ModelFacts) -> PrefixCache:
    """Raises InvalidPlan: "on" with a model whose recurrent layers keep the state behind the last position alone."""
    if execution.prefix_cache == "on" and model.recurrent_bytes:
        raise InvalidPlan(
            f"prefix_cache is 'on'; {model.ref.name} has recurrent layers, whose state at the end of a prefix is not "
            "kept",
            field="execution.prefix_cache",
            value="on",
            allowed=["off"],
        )
    return cast("PrefixCache", execution.prefix_cache)


def _batch(execution: ExecutionRequest, model: ModelFacts, prompt_tokens: int) -> Batch:
    return Batch(
        max_sequences=execution.max_sequences,
        prefill_chunk=execution.prefill_chunk,
        prefill_beside_decode=execution.prefill_beside_decode
        or prefill_beside_decode(cast("SchedulerPolicy", execution.scheduler_policy), execution.prefill_chunk),
        context_length=_context_length(execution, model, prompt_tokens),
    )


def _context_length(execution: ExecutionRequest, model: ModelFacts, prompt_tokens: int) -> int:
    """The length asked for, or the least multiple of 64 that holds the whole run, up to the trained length."""
    asked = execution.context_length
    if asked is not None and asked > model.context_length:
        raise InvalidPlan(
            f"context_length is {asked}; {model.ref.name} was trained for {model.context_length}",
            field="execution.context_length",
            value=asked,
            maximum=model.context_length,
        )
    whole_run = -(-(prompt_tokens + execution.limits.max_tokens) // _CONTEXT_STEP) * _CONTEXT_STEP
    context_length = asked or min(model.context_length, whole_run)
    if prompt_tokens >= context_length:
        raise PromptTooLong(
            f"the prompt has {prompt_tokens} tokens and the context {context_length}: there is no room for an answer",
            prompt_tokens=prompt_tokens,
            context_length=context_length,
            trained=model.context_length,
        )
    return context_length
