"""The one interface the executor drives: real (:mod:`engine.cpu.cpu_backend`) or fake (tests)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

from engine.operation import Operation
from engine.planned_execution import PlannedExecution
from protocol.logprobs import DrawnLogprobs
from protocol.plan import ExecutionPlan
from protocol.record import WeightsReport
from protocol.summaries import PrefixCacheReport, ResidentModel

if TYPE_CHECKING:  # the check-up, which reads energy sources by this module, works without the compiled part
    from engine.host.client_socket import ClientSocket

MAX_PREFILL_SHARE = 65536
"""No bound: beyond any prefill chunk."""

BackendStopReason = Literal["eos", "stop_string", "stop_token", "max_tokens", "context_full", "cancelled", "error"]


Key = TypeVar("Key")


class LoadedModel(Protocol):
    """Weights ready to run, shared by every execution whose plan asks for them."""

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights in memory."""

    @property
    def kernel_path(self) -> str:
        """The instruction set of the kernels that run."""

    @property
    def origin(self) -> WeightsReport:
        """Where the weights came from."""

    def buffers_bytes(self, plan: ExecutionPlan) -> int:
        """What the backend allocates for the steps of a plan, with logits of its own choices alone."""


@dataclass(frozen=True, slots=True)
class ComputeTime:
    """How much of the run loop's computing was for one choice, from the sequence's first step to its own last."""

    compute_ns: int
    """Its part of the time of its steps. Parts of a step add up to the step."""
    busy_ns: int
    """The time of all steps in between, those without it included."""
    operation_ns: Mapping[str, int] | None = None
    """What ``compute_ns`` went to, to the nanosecond a step; ``None`` where the plan does not ask for it."""

    def plus(self, other: ComputeTime | None) -> ComputeTime:
        """The time of two choices of one sequence together."""
        if other is None:
            return self
        operation_ns = None
        if self.operation_ns is not None and other.operation_ns is not None:
            operation_ns = {name: ns + other.operation_ns[name] for name, ns in self.operation_ns.items()}
        return ComputeTime(self.compute_ns + other.compute_ns, max(self.busy_ns, other.busy_ns), operation_ns)

    @property
    def share(self) -> float:
        """Over 0 to 1; exactly 1 where it had the run loop to itself."""
        return self.compute_ns / self.busy_ns


@dataclass(frozen=True, slots=True)
class ComputeTimes(Generic[Key]):
    """How the run loop's steps divide, as of the end of the last one."""

    busy_ns: int
    """The time of all steps since the run loop was made."""
    of: Mapping[Key, ComputeTime]
    """Those that are with it and took part in a step, each since its first."""


@dataclass(frozen=True, slots=True)
class TokenStream:
    """Where a sequence's tokens may be written as they come, before they are drained."""

    socket: ClientSocket
    request_id: int
    execution_id: str


@dataclass(frozen=True, slots=True)
class NonFinitePlace:
    """Where a sequence's values first were NaN or infinite; see :class:`protocol.errors.NonFiniteResult`."""

    part: str
    layer: int | None
    position: int


@dataclass(frozen=True, slots=True)
class SequenceEvents:
    """What one choice of a sequence did since the last drain. Times are ``time.monotonic_ns`` (Linux: the C++ steady
    clock)."""

    sequence_id: int
    """The execution's in the run loop, common to its choices."""
    choice: int | None = 0
    """From 0; the plan's ``n`` of them. ``None``: every one that has not ended, which ends."""
    prefill_start_ns: int | None = None
    """Given once, with the first prefill step, as the first choice's."""
    cached_prompt_tokens: int | None = None
    """How many tokens of the prompt were found in the prefix cache; given with ``prefill_start_ns``."""
    token_ids: tuple[int, ...] = ()
    token_times_ns: tuple[int, ...] = ()
    logprobs: tuple[DrawnLogprobs, ...] = ()
    """Log probabilities of each token, where the plan asks for them."""
    text: str = ""
    sent_tokens: int = 0
    """Number of tokens, the first ones, that have been written to the sequence's stream."""
    sent_characters: int = 0
    """Number of characters of the text, the first ones, that have been too."""
    stop_reason: BackendStopReason | None = None
    """Given once, with the last events of the choice."""
    error: str = ""
    non_finite: NonFinitePlace | None = None
    """Where that is the error."""
    logits_digest: str = ""
    drafted_tokens: int = 0
    """Given with ``stop_reason``: how many of the choice's tokens were guessed and computed ahead of time."""
    accepted_tokens: int = 0
    """Those of them that were drawn in their place as well."""
    draft_ns: int = 0
    """The part of ``compute_time`` that a draft model took."""
    compute_time: ComputeTime | None = None
    """Given once, with the last events; ``None`` where nothing was computed."""
    kv_cache_bytes: int | None = None
    """Given with ``stop_reason``: the most that the sequence's choices have held together so far."""

    @property
    def has_tokens(self) -> bool:
        """Tokens or text of a choice, sent or not."""
        return self.choice is not None and bool(self.token_ids or self.text)

    @property
    def is_halfway(self) -> bool:
        """Tokens alone: neither the begin nor the end."""
        return self.prefill_start_ns is None and self.stop_reason is None


@dataclass(frozen=True, slots=True)
class WorkDone:
    """Work of the run loop since it was made."""

    steps: int
    prefill_rows: int
    decode_rows: int
    busy_ns: int
    """Time in those steps."""


@dataclass(frozen=True, slots=True)
class BackendStatistics:
    """The backend's work and memory at the moment."""

    sequences: int
    """Sequences that hold KV cache, each choice one."""
    kv_cache_bytes: int
    """What they hold beside what they read of the prefix cache."""
    prefix_cache: PrefixCacheReport
    work: WorkDone | None
    """``None`` of a backend that is gone, and its count with it."""
    models: tuple[ResidentModel, ...]


class Backend(Protocol):
    """Carries plans out. Only what ``load`` returns and ``clear_prefix_cache`` may take long; all else returns at
    once and waits for no step.

    Thread-safe. A model that is held stays in memory until it is released; so does one that a sequence uses.
    """

    @property
    def event_fd(self) -> int:
        """Readable while events wait to be drained."""

    def loaded(self, plan: ExecutionPlan) -> LoadedModel | None:
        """The plan's weights, held, if they and its grammar are ready now."""

    def load(self, planned: PlannedExecution) -> Operation[LoadedModel]:
        """Makes the plan's weights and its grammar ready, and room for an execution beside them; where need be that of
        idle weights.

        Its result is held. Its ``run`` raises InvalidModel, UnsupportedModel, OutOfMemoryBudget, CacheFull,
        ExecutionCancelled and, of a plan with a grammar, InvalidGrammar, GrammarTooComplex, GrammarTimeout,
        GrammarUnavailable.
        """

    def release(self, model: LoadedModel) -> None:
        """Once for each time it was held."""

    def submit(
        self,
        sequence_id: int,
        model: LoadedModel,
        planned: PlannedExecution,
        *,
        prefill_rank: int = 0,
        prefill_share: int = MAX_PREFILL_SHARE,
        stream: TokenStream | None = None,
    ) -> None:
        """Start a sequence of a model that is held. ``sequence_id`` must be new to this backend.

        The backend may write tokens to ``stream`` itself while its line is open: see :class:`ClientSocket`.

        Behind the prompt, which is computed once, it parts into the plan's ``n`` choices; to cancel, pause or resume it
        means all of them.

        Of the prompts that wait to be computed beside each other those of the lowest ``prefill_rank`` (64 bits, signed)
        go first, the earliest of equals, each with at most ``prefill_share`` tokens in a step in which others decode.

        Raises:
            OutOfMemoryBudget: now; a load may find room.
        """

    def cancel(self, sequence_id: int) -> None:
        """End a sequence with ``cancelled``. No effect on one that has ended or never was."""

    def pause(self, sequence_id: int) -> None:
        """Compute nothing for a sequence after the running step, until it is resumed. Its tokens stay the same.

        It keeps its memory, and may be cancelled. No effect on one that has ended or never was.
        """

    def resume(self, sequence_id: int) -> None:
        """No effect on one that is not paused."""

    def drain(self) -> list[SequenceEvents]:
        """All events since the last drain, at most one entry a choice."""

    def clear_prefix_cache(self) -> None:
        """Nothing computed before is found afterwards. May block for a step of the run loop."""

    def statistics(self) -> BackendStatistics:
        """The state of the moment; from any thread."""

    def times_so_far(self) -> ComputeTimes[int]:
        """The computing time so far, by sequence."""

    def close(self) -> None:
        """End every sequence and the run loop. Idempotent."""
