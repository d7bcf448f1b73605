"""The chain of entries: how one is written, how it follows from the one before, and where a chain is broken. Pure.

    hash = SHA-256(hash of the entry before, content)

over UTF-8, hashes as ``sha256:`` and hexadecimal digits; the content is canonical JSON (sorted keys, no white space).
The first entry follows from the hash of the store's own random name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from protocol.errors import RecordUnreadable
from protocol.record_entry import (
    ENTRY,
    ChainFault,
    ChainPosition,
    ChainReport,
    Entry,
    ExecutionSummary,
    FinishedEntry,
    InterruptedEntry,
    PrunedEntry,
)
from protocol.value import Value

EntryT = TypeVar("EntryT", bound=Value)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class EntryColumns:
    """What the store searches by; all of it is in the content as well. What is no execution has no more than its kind
    and its subject."""

    kind: str
    recorded_at: str
    execution_id: str | None
    model: str | None
    quantization: str | None
    stop_reason: str | None
    subject: str | None = None
    """What an entry is about that is no execution: the id of an experiment, for example."""


SUBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "experiment_declared": ("declaration", "experiment_id"),
    "experiment": ("experiment", "experiment_id"),
    "evaluation": ("evaluation", "key"),
    "proposal": ("proposal", "proposal_id"),
    "proposal_move": ("move", "proposal_id"),
    "named_plan": ("named_plan", "name"),
}
"""Where the content of an entry that is no execution names its subject, by its kind."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as the store holds it. What it says is only looked at when asked for."""

    sequence: int
    previous: str
    """Hash of the entry before."""
    hash: str
    content: str
    columns: EntryColumns

    def decode(self) -> Entry:
        """Raises RecordUnreadable: another version of the engine wrote it, or it was tampered with."""
        try:
            return ENTRY.validate_json(self.content.encode("utf-8", "surrogateescape"))
        except ValidationError as error:
            raise self._unreadable(f"{error.error_count()} fields are not as this engine knows them") from error

    def decode_execution(self) -> FinishedEntry | InterruptedEntry:
        """Raises RecordUnreadable."""
        entry = self.decode()
        if isinstance(entry, FinishedEntry | InterruptedEntry):
            return entry
        raise self._unreadable("it holds no execution")

    def decode_as(self, kind: type[EntryT]) -> EntryT:
        """Raises RecordUnreadable: it is no such entry, or see :meth:`decode`."""
        entry = self.decode()
        if not isinstance(entry, kind):
            raise self._unreadable(f"it is no {kind.__name__}")
        return entry

    def summary(self) -> ExecutionSummary:
        """What every version's entries have in common. Raises RecordUnreadable."""
        try:
            content = json.loads(self.content)
            record = content["record"]
            metrics = record.get("metrics") or {}
            return ExecutionSummary(
                sequence=self.sequence,
                execution_id=record["execution_id"],
                started_at=content["started_at"],
                recorded_at=content["recorded_at"],
                model=record["plan"]["model_ref"]["name"],
                backend=record["plan"].get("backend"),
                quantization=record["plan"]["quantization"],
                stop_reason=record["stop_reason"],
                energy_kind=(metrics.get("energy") or {}).get("kind"),
                **{
                    name: metrics.get(name)
                    for name in ("tokens_total", "tokens_per_sec", "watts_avg", "tokens_per_watt")
                },
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._unreadable(f"{type(error).__name__}: {error}") from error

    def _unreadable(self, reason: str) -> RecordUnreadable:
        return RecordUnreadable(
            f"entry {self.sequence} of the records cannot be read: {reason}; export it as it is, or use the engine "
            "that wrote it",
            sequence=self.sequence,
            execution_id=self.columns.execution_id,
        )


def canonical_json(content: dict[str, Any]) -> str:
    """Equal for equal contents. What is no Unicode (a path may hold it) becomes its escape, as on the wire."""
    return storable(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False), "\\\\"
    )


def storable(text: str, backslash: str = "\\") -> str:
    """The text with every lone surrogate as its escape, for UTF-8 has no form for it."""
    return _SURROGATE.sub(lambda found: f"{backslash}u{ord(found.group()):04x}", text)


def start_of(store_id: str) -> ChainPosition:
    """The position before a store's first entry."""
    return ChainPosition(sequence=0, hash=_sha256(store_id))


def seal(previous: ChainPosition, content: dict[str, Any]) -> StoredEntry:
    """The entry that follows ``previous``; its content is given all but its sequence."""
    sequence = previous.sequence + 1
    whole = {**content, "sequence": sequence}
    text = canonical_json(whole)
    return StoredEntry(sequence, previous.hash, entry_hash(previous.hash, text), text, columns_of(whole))


def entry_hash(previous: str, content: str) -> str:
    """The hash of an entry behind another."""
    return _sha256(previous + content)


def columns_of(content: dict[str, Any]) -> EntryColumns:
    """Raises KeyError, TypeError for a content that is no entry's."""
    if content["kind"] == "pruned":
        return EntryColumns("pruned", content["recorded_at"], None, None, None, None)
    if content["kind"] in SUBJECTS:
        part, name = SUBJECTS[content["kind"]]
        subject = storable(content[part][name])
        return EntryColumns(content["kind"], content["recorded_at"], None, None, None, None, subject)
    record = content["record"]
    return EntryColumns(
        kind=content["kind"],
        recorded_at=content["recorded_at"],
        execution_id=storable(record["execution_id"]),
        model=storable(record["plan"]["model_ref"]["name"]),
        quantization=record["plan"]["quantization"],
        stop_reason=record["stop_reason"],
    )


def removed_before(prunings: Iterable[StoredEntry]) -> int | None:
    """How many executions all prunings have removed; ``None`` where the last was an earlier version's, which does not
    say. Raises RecordUnreadable."""
    total: int | None = 0
    for entry in prunings:
        pruning = entry.decode()
        total = pruning.executions_removed_total if isinstance(pruning, PrunedEntry) else total
    return total


class ChainCheck:
    """Reads a chain from its start to its head and remembers the first place where it is broken."""

    def __init__(self, store_id: str, anchor: ChainPosition, witness: ChainPosition | None) -> None:
        self._anchor = anchor
        self._reached = anchor
        self._entries = 0
        self._witness = witness
        self._pruned_to = start_of(store_id)
        self._prunings: list[PrunedEntry] = []

    def report(self, entries: Iterable[StoredEntry], head: ChainPosition) -> ChainReport:
        """The report on all entries up to the head."""
        fault = self._first_fault(entries, head)
        return ChainReport(
            entries=self._entries, anchor=self._anchor, head=head, prunings=tuple(self._prunings), fault=fault
        )

    def _first_fault(self, entries: Iterable[StoredEntry], head: ChainPosition) -> ChainFault | None:
        if self._witness is not None and self._witness.sequence < self._anchor.sequence:
            return self._fault(self._witness.sequence, "witness", "the position that was written down has been pruned")
        if fault := self._at_witness():
            return fault
        for entry in entries:
            if fault := self._broken(entry):
                return fault
            self._reached = ChainPosition(sequence=entry.sequence, hash=entry.hash)
            self._entries += 1
            if fault := self._at_witness():
                return fault
        return self._at_end(head)

    def _broken(self, entry: StoredEntry) -> ChainFault | None:
        at = entry.sequence
        expected = self._reached.sequence + 1
        if at != expected:
            return self._fault(expected, "gap", f"entry {expected} is missing; the next one is {at}")
        if entry.previous != self._reached.hash:
            return self._fault(at, "link", f"it follows {entry.previous}, and the entry before is {self._reached.hash}")
        if entry_hash(entry.previous, entry.content) != entry.hash:
            return self._fault(at, "content", "its content is not what was hashed")
        try:
            content = json.loads(entry.content)
            same = columns_of(content) == entry.columns and content["sequence"] == at
            pruning = PrunedEntry.model_validate(content) if content["kind"] == "pruned" else None
        except (ValueError, TypeError, KeyError):
            return self._fault(at, "content", "its content is no entry")
        if not same:
            return self._fault(at, "columns", "the columns it is found by are not what it says")
        if pruning is not None:
            self._pruned_to = ChainPosition(sequence=pruning.through_sequence, hash=pruning.through_hash)
            self._prunings.append(pruning)
        return None

    def _at_witness(self) -> ChainFault | None:
        witness = self._witness
        if witness is None or witness.sequence != self._reached.sequence or witness == self._reached:
            return None
        return self._fault(witness.sequence, "witness", f"it was {witness.hash} when it was written down")

    def _at_end(self, head: ChainPosition) -> ChainFault | None:
        reached = self._reached
        if reached != head:
            reason = f"the chain ends at {reached.sequence} ({reached.hash}), and was last written at {head.sequence}"
            return self._fault(min(head.sequence, reached.sequence) + 1, "head", reason)
        if self._anchor != self._pruned_to:
            reason = f"the chain starts behind {self._anchor.sequence}, and was pruned to {self._pruned_to.sequence}"
            return self._fault(self._anchor.sequence + 1, "anchor", reason)
        if self._witness is not None and self._witness.sequence > reached.sequence:
            reason = f"the chain ends at {reached.sequence}, before the position that was written down"
            return self._fault(self._witness.sequence, "witness", reason)
        return None

    def _fault(self, sequence: int, kind: Any, reason: str) -> ChainFault:
        return ChainFault(sequence=sequence, kind=kind, reason=reason)


def _sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
