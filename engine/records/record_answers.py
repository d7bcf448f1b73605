"""Questions about execution records, answered from the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.identity.version import ENGINE_VERSION
from engine.records.comparison import compare_repeat, compare_variant
from engine.records.experiment_entries import get_experiment, list_experiments
from engine.records.prediction import MOST_RECORDS, predict
from engine.records.record_store import RecordStore
from protocol.answers import AnswerMessage
from protocol.errors import InvalidRequest, RecordUnreadable
from protocol.experiment_messages import ExperimentList, Experiments, ExperimentShown, GetExperiment
from protocol.message import Request
from protocol.plan import ExecutionPlan
from protocol.prediction import Prediction
from protocol.record import ExecutionRecord
from protocol.record_answers import Compared, ExecutionEntry, ExecutionList, RecordsPruned, RecordsVerified
from protocol.record_entry import FinishedEntry, RecordFilter, moment_of
from protocol.requests import (
    CompareExecutions,
    GetExecution,
    ListExecutions,
    PruneRecords,
    VerifyRecords,
)


def _list(request: ListExecutions, store: RecordStore) -> ExecutionList:
    entries = store.page(request.wanted, limit=request.limit, before=request.before)
    return ExecutionList(executions=tuple(entry.summary() for entry in entries))


def _get(request: GetExecution, store: RecordStore) -> ExecutionEntry:
    stored = store.get(request.execution_id)
    return ExecutionEntry(entry=stored.decode_execution(), hash=stored.hash)


def _compare(request: CompareExecutions, store: RecordStore) -> Compared:
    a, b = (_finished(name, store) for name in (request.a, request.b))
    if request.differing is None:
        return Compared(repeat=compare_repeat(a, b), variant=None)
    result = compare_variant(a, b, request.differing)
    return Compared(repeat=None, variant=result)


def _verify(request: VerifyRecords, store: RecordStore) -> RecordsVerified:
    return RecordsVerified(report=store.verify_chain(request.witness))


def _list_experiments(request: Experiments, store: RecordStore) -> ExperimentList:
    return ExperimentList(experiments=list_experiments(store, request.limit))


def _get_experiment(request: GetExperiment, store: RecordStore) -> ExperimentShown:
    declared, end, end_hash = get_experiment(store, request.experiment_id)
    return ExperimentShown(
        declaration=declared.declaration, experiment=None if end is None else end.experiment, hash=end_hash
    )


def prune_records(request: PruneRecords, store: RecordStore) -> RecordsPruned:
    """Remove what the request names, whoever asks. Blocking. Raises what :meth:`RecordStore.prune` raises."""
    remove = store.prunable if request.dry_run else store.prune
    return RecordsPruned(executions=remove(moment_of(request.recorded_before)))


RECORD_ANSWERS: dict[type[Request[Any]], Callable[[Any, RecordStore], AnswerMessage]] = {
    ListExecutions: _list,
    GetExecution: _get,
    CompareExecutions: _compare,
    VerifyRecords: _verify,
    Experiments: _list_experiments,
    GetExperiment: _get_experiment,
}
"""What answers each request that reads records. Blocking. They raise what the store and comparing raise."""


def _finished(execution_id: str, store: RecordStore) -> ExecutionRecord:
    entry = store.get(execution_id).decode_execution()
    if not isinstance(entry, FinishedEntry):
        raise InvalidRequest(f"{execution_id} was interrupted, and has no figures to compare", field="execution_id")
    return entry.record


def predict_from(store: RecordStore, plan: ExecutionPlan, cpu_model: str) -> Prediction:
    """From the newest records of the model under this name and quantization. Blocking. Raises what the store raises."""
    wanted = RecordFilter(model=plan.model_ref.name, quantization=plan.quantization)
    records: list[ExecutionRecord] = []
    for stored in store.page(wanted, limit=MOST_RECORDS):
        try:
            entry = stored.decode_execution()
        except RecordUnreadable:
            continue  # another version's: it would not count
        if isinstance(entry, FinishedEntry):
            records.append(entry.record)
    return predict(plan, cpu_model, ENGINE_VERSION, records)
