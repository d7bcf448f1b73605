"""Requests that the engine's knowledge answers alone, in a worker thread; no execution comes of them."""

from __future__ import annotations

from typing import assert_never

from actors.ports import Domain, Progress
from protocol.messages import (
    Detokenize,
    EngineMessage,
    ListModels,
    ModelInfo,
    ModelList,
    Plan,
    Planned,
    PullModel,
    Text,
    TokenIds,
    Tokenize,
)

Question = Plan | ListModels | ModelInfo | PullModel | Tokenize | Detokenize


def answer(question: Question, domain: Domain, progress: Progress) -> EngineMessage:
    """The one last reply to a question. Blocking. Raises EngineError, and whatever ``progress`` raises."""
    request_id = question.request_id
    match question:
        case Plan():
            prepared = domain.prepare(question.request)
            return Planned(
                request_id=request_id,
                plan=prepared.plan,
                plan_fingerprint=prepared.plan.fingerprint,
                estimate=prepared.estimate,
            )
        case ListModels():
            return ModelList(request_id=request_id, models=domain.models())
        case ModelInfo():
            return domain.describe(question.model, request_id)
        case PullModel():
            domain.pull(question.model, progress)
            return domain.describe(question.model, request_id)
        case Tokenize():
            token_ids, pieces = domain.tokenize(
                question.model,
                question.text,
                add_special=question.add_special,
                parse_special=question.parse_special,
            )
            return TokenIds(request_id=request_id, token_ids=token_ids, pieces=pieces)
        case Detokenize():
            return Text(request_id=request_id, text=domain.detokenize(question.model, question.token_ids))
        case _:
            assert_never(question)
