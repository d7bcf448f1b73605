"""Anthropic's routes."""

from __future__ import annotations

from functools import partial

from actors.http.call import Call
from actors.http.routes.route import HttpRoute
from actors.http.translation import execution_headers, outcomes_of, planned, stream_answer
from protocol.client import Client
from protocol.dialects.anthropic import messages
from protocol.dialects.anthropic.stream import MessagesStream
from protocol.dialects.generation import without_bounds
from protocol.errors import InvalidPlan
from protocol.plan import RunRequest


async def _messages(call: Call) -> None:
    asked = await call.read(messages.MessagesRequest)
    run = await call.aside(partial(messages.to_run_request, asked, call.model(asked.model)))
    async with call.client() as client:
        runs = (await _with_budget(call, client, run),)
        if asked.stream:
            await stream_answer(call, client, runs, MessagesStream(asked))
        else:
            (outcome,) = await outcomes_of(client, runs, call.link.rules.default_model)
            await call.reply(messages.from_outcome(asked, outcome), headers=execution_headers(outcome.accepted))


async def _with_budget(call: Call, client: Client, run: RunRequest) -> RunRequest:
    """The run with its bound on thinking where the model's thinking can be bounded: clients send one to every model."""
    if run.execution.reasoning.max_tokens is not None:
        try:
            await planned(call, client, run)
        except InvalidPlan as error:
            if not messages.bounds_thinking(error):
                raise
            return messages.without_budget(run)
    return run


async def _count_tokens(call: Call) -> None:
    asked = await call.read(messages.MessagesRequest)
    run = await call.aside(partial(messages.to_run_request, asked, call.model(asked.model), counted=True))
    async with call.client() as client:
        plan = await planned(call, client, without_bounds(messages.without_budget(run)))
    await call.reply({"input_tokens": plan.estimate.prompt_tokens}, headers=execution_headers(plan))


ROUTES = (
    HttpRoute(
        *("POST", "/v1/messages", _messages, "the next message of a conversation, in blocks"),
        *(messages.MessagesRequest, messages.MessageAnswer),
    ),
    HttpRoute(
        *("POST", "/v1/messages/count_tokens", _count_tokens, "how many tokens a message would read"),
        messages.MessagesRequest,
    ),
)
