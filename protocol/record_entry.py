"""What the store of records holds: a chain of entries, each sealed by the hash of all before it."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter

from protocol.build import Build
from protocol.experiment import ExperimentDeclaration, ExperimentPlace, ExperimentRecord, KeptEvaluation
from protocol.named_plan import NamedPlan, NamedPlanUse
from protocol.plan import ExecutionPlan
from protocol.proposal import Proposal, ProposalMove
from protocol.quantization import QuantizationName
from protocol.record import ExecutionRecord, StopReason
from protocol.value import Value


def _require_moment(text: str) -> str:
    datetime.fromisoformat(text.removesuffix("Z"))
    return text


Timestamp = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$"),
    AfterValidator(_require_moment),
]
"""UTC, ISO 8601, always to the microsecond, so that the order of texts is the order of times. A day and a time that
there are."""
Sequence = Annotated[int, Field(ge=1, le=2**63 - 1)]
"""An entry's place in the chain, from 1, without gaps."""


def timestamp(moment: datetime) -> Timestamp:
    """Raises ValueError for a moment without a time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} names no time zone")
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def moment_of(text: str) -> datetime:
    """The moment that a text in ISO 8601 names; a ``Timestamp`` is one. Raises ValueError if it is none."""
    return datetime.fromisoformat(re.sub(r"[Zz]\Z", "+00:00", text))  # Python 3.10 does not know the Z


def timestamp_now() -> Timestamp:
    """The time now."""
    return timestamp(datetime.now(timezone.utc))


class InterruptedExecution(Value):
    """What is known of an execution whose engine ended before it did."""

    execution_id: str
    engine_version: str
    build: Build | None = None
    """``None`` in entries from before builds were told apart."""
    plan: ExecutionPlan
    plan_fingerprint: str
    prompt_token_ids: tuple[int, ...]
    named_plan: NamedPlanUse | None = None
    experiment: ExperimentPlace | None = None
    """These two are the same as in a record."""
    stop_reason: Literal["interrupted"] = "interrupted"


class UnfinishedExecution(Value):
    """An execution that has begun and is in no entry yet."""

    started_at: Timestamp
    pid: int
    """The process that runs it."""
    running: bool
    """Whether that process lives; if not, the next start of an engine makes it an interrupted one."""
    execution: InterruptedExecution


class FinishedEntry(Value):
    """An execution that came to its end."""

    kind: Literal["finished"] = "finished"
    sequence: Sequence
    started_at: Timestamp | None
    """``None`` where the store was not told of its start."""
    recorded_at: Timestamp
    record: ExecutionRecord


class InterruptedEntry(Value):
    """An execution whose process ended before it."""

    kind: Literal["interrupted"] = "interrupted"
    sequence: Sequence
    started_at: Timestamp
    recorded_at: Timestamp
    """When it was found, not when it was interrupted."""
    record: InterruptedExecution


class PrunedEntry(Value):
    """Says that the entries up to ``through_sequence`` were removed on purpose."""

    kind: Literal["pruned"] = "pruned"
    sequence: Sequence
    recorded_at: Timestamp
    through_sequence: Sequence
    through_hash: str
    """The hash of the last entry removed, from which the chain now starts."""
    first_sequence: Sequence | None = None
    """The first entry removed. ``None`` in entries of earlier versions, as are those below."""
    recorded_from: Timestamp | None = None
    """When the oldest entry removed was recorded."""
    recorded_to: Timestamp | None = None
    """When the newest was."""
    executions_removed: int
    executions_removed_total: int | None = None
    """The sum over this pruning and all before it, whose own entries it may have removed. ``None`` too where one of
    those does not say."""


class OwnerProcess(Value):
    """The process that runs something: what makes it another than any before or after it."""

    boot_id: str
    pid_namespace: str
    pid: int
    started_ticks: int


class ExperimentDeclaredEntry(Value):
    """An experiment before its first execution."""

    kind: Literal["experiment_declared"] = "experiment_declared"
    sequence: Sequence
    recorded_at: Timestamp
    owner: OwnerProcess
    declaration: ExperimentDeclaration


class ExperimentEntry(Value):
    """What came of an experiment."""

    kind: Literal["experiment"] = "experiment"
    sequence: Sequence
    recorded_at: Timestamp
    experiment: ExperimentRecord


class EvaluationEntry(Value):
    """How well an arithmetic predicts a text, kept so that no experiment measures it twice."""

    kind: Literal["evaluation"] = "evaluation"
    sequence: Sequence
    recorded_at: Timestamp
    evaluation: KeptEvaluation


class ProposalEntry(Value):
    """A proposal, as it was filed."""

    kind: Literal["proposal"] = "proposal"
    sequence: Sequence
    recorded_at: Timestamp
    proposal: Proposal


class ProposalMoveEntry(Value):
    """A step of a proposal."""

    kind: Literal["proposal_move"] = "proposal_move"
    sequence: Sequence
    recorded_at: Timestamp
    move: ProposalMove


class NamedPlanEntry(Value):
    """A version of a named plan. A pruning writes the newest anew before it removes it, so that none is lost."""

    kind: Literal["named_plan"] = "named_plan"
    sequence: Sequence
    recorded_at: Timestamp
    named_plan: NamedPlan


Entry = Annotated[
    FinishedEntry
    | InterruptedEntry
    | PrunedEntry
    | ExperimentDeclaredEntry
    | ExperimentEntry
    | EvaluationEntry
    | ProposalEntry
    | ProposalMoveEntry
    | NamedPlanEntry,
    Field(discriminator="kind"),
]
ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry, config=ConfigDict(defer_build=True))


class ExecutionSummary(Value):
    """A line of a list of executions. Unknown is ``None``."""

    sequence: Sequence
    execution_id: str
    started_at: str | None
    recorded_at: str
    model: str
    backend: str | None
    quantization: str
    stop_reason: str
    tokens_total: int | None
    tokens_per_sec: float | None
    watts_avg: float | None
    tokens_per_watt: float | None
    energy_kind: str | None
    """What the figures of energy are worth; see :class:`protocol.metrics.EnergyReport`."""


class RecordFilter(Value):
    """Which executions to list; ``None`` is any."""

    model: str | None = None
    """The name it ran under."""
    quantization: QuantizationName | None = None
    stop_reason: StopReason | Literal["interrupted"] | None = None
    since: Timestamp | None = None
    """Recorded at this moment or later."""
    until: Timestamp | None = None
    """Recorded before this moment."""


class ChainPosition(Value):
    """A place in a chain. Written down elsewhere, it proves later that nothing up to it was changed."""

    sequence: Annotated[int, Field(ge=0, le=2**63 - 1)]
    """0 is the start of a chain, before its first entry."""
    hash: str
    """``sha256:`` and 64 hexadecimal digits."""


class ChainFault(Value):
    """The first place where a chain is broken."""

    sequence: int
    kind: Literal["anchor", "gap", "link", "content", "columns", "head", "witness"]
    """``anchor``: the chain does not start where it was made or pruned; ``gap``: entries are missing; ``link``: the
    entry does not follow from the one before; ``content``: it is not what was hashed; ``columns``: what the store
    searches by is not what the entry says; ``head``: the chain does not end where the store last wrote; ``witness``:
    it does not hold the position that was written down elsewhere."""
    reason: str


class ChainReport(Value):
    """The chain's length, head, and first fault."""

    entries: int
    """That were read and found whole."""
    anchor: ChainPosition
    """What the first of them follows from."""
    head: ChainPosition
    """Where the store says that its chain ends."""
    prunings: tuple[PrunedEntry, ...] = ()
    """What was removed on purpose, as the entries say that were read."""
    fault: ChainFault | None
    """``None``: the chain is whole."""
