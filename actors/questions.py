"""Requests that the engine's knowledge answers alone, in a worker thread; no execution comes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never

import trio

from actors.ports import Domain, ReportProgress
from protocol.errors import InvalidRequest
from protocol.messages import (
    Detokenize,
    EngineMessage,
    ListModels,
    ModelInfo,
    ModelList,
    Plan,
    Planned,
    Progress,
    PullModel,
    Text,
    TokenIds,
    Tokenize,
)
from protocol.unpacking import MAX_ARRAY_ELEMENTS

Question = Plan | ListModels | ModelInfo | PullModel | Tokenize | Detokenize


async def ask(
    question: Question,
    domain: Domain,
    threads: trio.CapacityLimiter,
    reply: Callable[[Progress], Awaitable[None]],
) -> EngineMessage:
    """Answer in a worker thread, telling of progress on the way. A cancel is felt at once. Raises EngineError."""

    def report(stage: str, done: int, total: int | None) -> None:
        trio.from_thread.check_cancelled()
        progress = Progress(request_id=question.request_id, stage=stage, done=done, total=total)
        trio.from_thread.run(reply, progress)

    return await trio.to_thread.run_sync(answer, question, domain, report, limiter=threads, abandon_on_cancel=True)


def answer(question: Question, domain: Domain, progress: ReportProgress) -> EngineMessage:
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
            if len(token_ids) > MAX_ARRAY_ELEMENTS:
                raise InvalidRequest(
                    f"the text has {len(token_ids)} tokens and a reply holds {MAX_ARRAY_ELEMENTS}; send it in parts",
                    field="text",
                    maximum=MAX_ARRAY_ELEMENTS,
                )
            return TokenIds(request_id=request_id, token_ids=token_ids, pieces=pieces)
        case Detokenize():
            return Text(request_id=request_id, text=domain.detokenize(question.model, question.token_ids))
        case _:
            assert_never(question)
