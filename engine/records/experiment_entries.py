"""Experiments in the chain of records: declared, ended, found again; and the evaluations that they share."""

from __future__ import annotations

from dataclasses import asdict

from engine.host.process_identity import ProcessIdentity, current_process, is_running
from engine.records.open_chain import OpenChain
from engine.records.record_chain import StoredEntry
from engine.records.record_store import RecordStore
from protocol.errors import RecordUnreadable, UnknownEntry
from protocol.experiment import (
    ArmEvaluation,
    ArmResult,
    ExperimentDeclaration,
    ExperimentEnd,
    ExperimentExecution,
    ExperimentRecord,
    ExperimentSummary,
    KeptEvaluation,
    MeasuredPair,
)
from protocol.record_entry import EvaluationEntry, ExperimentDeclaredEntry, ExperimentEntry

_MOST_KEPT = 10_000
_INTERRUPTED = "the engine's process ended; nothing of it is counted"


def declare_experiment(store: RecordStore, declaration: ExperimentDeclaration) -> StoredEntry:
    """Seal what is going to run, and that this process runs it. Blocking. Raises what the store raises."""
    with store.transaction() as chain:
        return chain.append(
            kind="experiment_declared",
            owner=asdict(current_process()),
            declaration=declaration.model_dump(mode="json"),
        )


def end_experiment(store: RecordStore, experiment: ExperimentRecord) -> StoredEntry:
    """Seal what came of it, once. Blocking. Raises what the store raises."""
    with store.transaction() as chain:
        ended = chain.last("experiment", experiment.experiment_id)
        return ended or chain.append(kind="experiment", experiment=experiment.model_dump(mode="json"))


def recover_experiments(store: RecordStore) -> None:
    """Seal an ``interrupted`` end for every experiment whose process has ended before it. Raises what the store raises.

    One that an engine of another version declared and that cannot be read is left as it is.
    """
    with store.reading() as chain:
        if not _abandoned(chain):
            return
    with store.transaction() as chain:
        for entry in _abandoned(chain):
            record = experiment_record(entry.declaration, entry.sequence, "interrupted", _INTERRUPTED)
            chain.append(kind="experiment", experiment=record.model_dump(mode="json"))


def experiment_record(
    declaration: ExperimentDeclaration,
    sequence: int,
    ended: ExperimentEnd,
    reason: str,
    *,
    executions: tuple[ExperimentExecution, ...] = (),
    pairs: tuple[MeasuredPair, ...] = (),
    arms: tuple[ArmResult, ...] = (),
    evaluations: tuple[ArmEvaluation, ...] = (),
) -> ExperimentRecord:
    """What came of a declared experiment. ``sequence``: the declaration's, in the chain."""
    return ExperimentRecord(
        experiment_id=declaration.experiment_id,
        declared_at=sequence,
        ended=ended,
        reason=reason,
        agent=declaration.agent,
        note=declaration.note,
        engine_version=declaration.engine_version,
        build=declaration.build,
        cpu_model=declaration.cpu_model,
        cpu_features=declaration.cpu_features,
        plans=declaration.plans,
        plan_fingerprints=declaration.plan_fingerprints,
        workload_digest=declaration.workload_digest,
        pairs_declared=declaration.pairs,
        executions=executions,
        pairs=pairs,
        arms=arms,
        evaluations=evaluations,
    )


def get_experiment(
    store: RecordStore, experiment_id: str
) -> tuple[ExperimentDeclaredEntry, ExperimentEntry | None, str | None]:
    """Its declaration, its end and that entry's hash, if it has ended. Blocking.

    Raises:
        UnknownEntry: there is no experiment of this id, or its declaration has been pruned.
        RecordUnreadable: another version wrote it.
    """
    with store.reading() as chain:
        declared = chain.last("experiment_declared", experiment_id)
        ended = chain.last("experiment", experiment_id)
    if declared is None:
        raise UnknownEntry(f"no experiment {experiment_id!r} is in the records", kind="experiment", id=experiment_id)
    end = None if ended is None else ended.decode_as(ExperimentEntry)
    return declared.decode_as(ExperimentDeclaredEntry), end, None if ended is None else ended.hash


def list_experiments(store: RecordStore, limit: int) -> tuple[ExperimentSummary, ...]:
    """The newest first. Blocking. Raises what :func:`get_experiment` raises."""
    with store.reading() as chain:
        declared = [entry.decode_as(ExperimentDeclaredEntry) for entry in chain.newest("experiment_declared", limit)]
        ends = [chain.last("experiment", one.declaration.experiment_id) for one in declared]
    ended = [None if end is None else end.decode_as(ExperimentEntry).experiment for end in ends]
    return tuple(_summary(entry, end) for entry, end in zip(declared, ended, strict=True))


def kept_evaluation(store: RecordStore, key: str) -> ArmEvaluation | None:
    """What was measured before, if it was. Blocking. Raises what the store raises."""
    with store.reading() as chain:
        kept = chain.last("evaluation", key)
    return None if kept is None else kept.decode_as(EvaluationEntry).evaluation.evaluation


def keep_evaluation(store: RecordStore, kept: KeptEvaluation) -> None:
    """Keep what was measured. Blocking. Raises what the store raises."""
    with store.transaction() as chain:
        chain.append(kind="evaluation", evaluation=kept.model_dump(mode="json"))


def _abandoned(chain: OpenChain) -> list[ExperimentDeclaredEntry]:
    found = []
    for stored in chain.newest("experiment_declared", _MOST_KEPT):
        if stored.columns.subject is None or chain.last("experiment", stored.columns.subject):
            continue
        try:
            entry = stored.decode_as(ExperimentDeclaredEntry)
        except RecordUnreadable:
            continue
        if not is_running(ProcessIdentity(**dict(entry.owner))):
            found.append(entry)
    return found


def _summary(declared: ExperimentDeclaredEntry, end: ExperimentRecord | None) -> ExperimentSummary:
    declaration = declared.declaration
    return ExperimentSummary(
        sequence=declared.sequence,
        experiment_id=declaration.experiment_id,
        recorded_at=declared.recorded_at,
        ended="running" if end is None else end.ended,
        agent=declaration.agent,
        model=declaration.plans[0].model_ref.name,
        candidates=len(declaration.plans) - 1,
        pairs=0 if end is None else len(end.pairs),
    )
