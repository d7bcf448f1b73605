"""Questions about execution records, answered from the store."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from engine.identity.version import ENGINE_VERSION
from engine.records.comparison import compare_experiment, compare_repeat
from engine.records.prediction import MOST_RECORDS, predict
from engine.records.record_store import RecordStore
from protocol.answers import Compared, EngineMessage, ExecutionEntry, ExecutionList, RecordsPruned, RecordsVerified
from protocol.errors import InvalidRequest, RecordUnreadable
from protocol.plan import ExecutionPlan
from protocol.prediction import Prediction
from protocol.record import ExecutionRecord
from protocol.record_entry import FinishedEntry, RecordFilter
from protocol.requests import (
    CompareExecutions,
    GetExecution,
    ListExecutions,
    PruneRecords,
    RecordQuestion,
    VerifyRecords,
)


def answer_about_records(question: RecordQuestion, store: RecordStore) -> EngineMessage:
    """Blocking. Raises what the store raises, and what comparing raises."""
    request_id = question.request_id
    match question:
        case ListExecutions():
            entries = store.page(question.wanted, limit=question.limit, before=question.before)
            return ExecutionList(request_id=request_id, executions=tuple(entry.summary() for entry in entries))
        case GetExecution():
            stored = store.get(question.execution_id)
            return ExecutionEntry(request_id=request_id, entry=stored.decode_execution(), hash=stored.hash)
        case CompareExecutions():
            return _compare(question, store)
        case VerifyRecords():
            return RecordsVerified(request_id=request_id, report=store.verify_chain(question.witness))
        case PruneRecords():
            removed = store.prune(datetime.fromisoformat(question.recorded_before))
            return RecordsPruned(request_id=request_id, executions=removed)
        case _:
            assert_never(question)


def _compare(question: CompareExecutions, store: RecordStore) -> Compared:
    a, b = (_finished(name, store) for name in (question.a, question.b))
    if question.experiment is None:
        return Compared(request_id=question.request_id, repeat=compare_repeat(a, b), experiment=None)
    result = compare_experiment(a, b, question.experiment)
    return Compared(request_id=question.request_id, repeat=None, experiment=result)


def _finished(execution_id: str, store: RecordStore) -> ExecutionRecord:
    entry = store.get(execution_id).decode_execution()
    if not isinstance(entry, FinishedEntry):
        raise InvalidRequest(
            f"{execution_id} was interrupted: nothing is known of it that could be compared", field="execution_id"
        )
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
