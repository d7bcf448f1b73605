"""The answers to requests about recorded executions."""

from __future__ import annotations

from typing import Literal

from protocol.comparison import RepeatVerdict, VariantComparison
from protocol.message import Answer
from protocol.record_entry import ChainReport, ExecutionSummary, FinishedEntry, InterruptedEntry


class ExecutionList(Answer):
    """A page of recorded executions."""

    type: Literal["ExecutionList"] = "ExecutionList"
    executions: tuple[ExecutionSummary, ...]


class ExecutionEntry(Answer):
    """One recorded execution."""

    type: Literal["ExecutionEntry"] = "ExecutionEntry"
    entry: FinishedEntry | InterruptedEntry
    hash: str
    """The entry's hash in the chain."""


class Compared(Answer):
    """One of the two."""

    type: Literal["Compared"] = "Compared"
    repeat: RepeatVerdict | None
    variant: VariantComparison | None


class RecordsVerified(Answer):
    """The state of the chain of records."""

    type: Literal["RecordsVerified"] = "RecordsVerified"
    report: ChainReport


class RecordsPruned(Answer):
    """The records removed, or of a dry run those that would be."""

    type: Literal["RecordsPruned"] = "RecordsPruned"
    executions: int
    """How many were removed."""
    permitted: bool = True
    """Whether this engine removes records for clients; ``False`` in answers to dry runs alone."""
