"""llama-server's own routes. ``model`` may be given to each, and else the default one answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from actors.http.call import Call, Handler
from actors.http.http_error import HttpError
from actors.http.routes.route import HttpRoute
from actors.http.translation import answered, execution_headers, outcomes_of, planned, stream_answer, token_ids
from protocol.answers import Planned
from protocol.client import Client
from protocol.dialects.fault import HttpFault
from protocol.dialects.generation import without_bounds
from protocol.dialects.llama_server import completion, completion_answer, properties, tokens
from protocol.dialects.openai import chat
from protocol.dialects.shape import read
from protocol.errors import InvalidRequest
from protocol.plan import RunRequest
from protocol.requests import Detokenize, ModelInfo, Plan, Status

_AnyPrompt = partial(RunRequest, prompt_token_ids=(0,))
"""For what a plan says whatever its prompt is."""


async def _completion(call: Call) -> None:
    content = await call.content()
    texts = await call.aside(partial(completion.texts_in, content))

    async def prepare(model: str) -> tuple[completion.LlamaCompletionRequest, list[RunRequest], list[str]]:
        ends: tuple[int, ...] = ()
        if content.get("ignore_eos") is True:
            ends = (await client.ask(Plan(request=_AnyPrompt(model=model)))).plan.stop.eos_token_ids
        ids = await token_ids(client, texts, model)
        resolved = await call.aside(partial(completion.resolved, content, ids, ends))
        asked = await call.aside(partial(read, completion.LlamaCompletionRequest, resolved))
        runs = await call.aside(partial(completion.to_run_requests, asked, model))
        spelled = [Detokenize(model=model, token_ids=prompt, control_tokens=True) for prompt in asked.prompt]
        return asked, list(runs), [(await client.ask(one)).text for one in spelled]

    async with call.client() as client:
        asked, runs, prompts = await answered(call, call.model(_name(content.get("model"))), prepare)
        if asked.stream:
            await stream_answer(call, client, runs, completion_answer.LlamaCompletionStream(asked, prompts))
        else:
            outcomes = await outcomes_of(client, runs, None)
            answer = completion_answer.from_outcomes(asked, outcomes, prompts)
            await call.reply(answer, headers=execution_headers(*(one.accepted for one in outcomes)))


def _name(model: object) -> str | None:
    if model is None or isinstance(model, str):
        return model
    raise InvalidRequest("model: give a name", field="model", reason="no text")


async def _tokenize(call: Call) -> None:
    asked = await call.read(tokens.TokenizeRequest)
    async with call.client() as client:
        answer = await answered(
            call, call.model(asked.model), lambda model: client.ask(tokens.to_tokenize(asked, model))
        )
    await call.reply_made(partial(tokens.from_token_ids, asked, answer))


async def _detokenize(call: Call) -> None:
    asked = await call.read(tokens.DetokenizeRequest)
    async with call.client() as client:
        answer = await answered(
            call, call.model(asked.model), lambda model: client.ask(tokens.to_detokenize(asked, model))
        )
    await call.reply_made(partial(tokens.from_text, answer))


async def _apply_template(call: Call) -> None:
    asked = await call.read(chat.ChatRequest)
    run = await call.aside(partial(chat.to_run_request, asked, call.model(asked.model)))
    async with call.client() as client:
        plan = await planned(call, client, without_bounds(run))
    await call.reply({"prompt": plan.prompt}, headers=execution_headers(plan))


async def _properties(call: Call) -> None:
    content = await call.content()
    async with call.client() as client:
        plan = await _default_plan(call, client, content)
        described = await client.ask(ModelInfo(model=plan.plan.model_ref.path))
        status = await client.ask(Status())
    await call.reply(properties.properties(plan, described, status))


async def _slots(call: Call) -> None:
    content = await call.content()
    async with call.client() as client:
        plan = await _default_plan(call, client, content)
        told = properties.slots(plan, await client.ask(Status()))
    if call.request.query_params.get("fail_on_no_slot") == "1" and all(slot["is_processing"] for slot in told):
        raise HttpError(HttpFault(503, "no_free_slot", "as many executions run as may at a time"))
    await call.reply(told)


async def _default_plan(call: Call, client: Client, content: Mapping[str, Any]) -> Planned:
    """The plan of a completion that names nothing but the model."""
    asked = read(completion.LlamaCompletionRequest, {**content, "prompt": [[0]]})
    (run,) = completion.to_run_requests(asked, call.model(call.request.query_params.get("model")))
    return await planned(call, client, run)


def _absent(reason: str) -> Handler:
    async def refuse(call: Call) -> None:
        raise HttpError(HttpFault(501, "not_supported", f"{call.request.url.path}: {reason}"))

    return refuse


_ABSENT: tuple[tuple[Literal["GET", "POST"], str, str], ...] = (
    ("POST", "/infill", "no model here fills in a middle"),
    ("POST", "/embedding", "ask /v1/embeddings"),
    ("POST", "/props", "properties are the command line's: serve --http-defaults"),
    ("POST", "/slots/{id}", "executions have no slots to save or restore; the prefix cache keeps prompts"),
    ("GET", "/lora-adapters", "adapters are not run"),
    ("POST", "/lora-adapters", "adapters are not run"),
    ("POST", "/models/load", "a model is loaded by its first execution"),
    ("POST", "/models/unload", "ask /v1/weos/models/unload"),
    ("GET", "/cors-proxy", "this engine fetches nothing for others"),
    ("POST", "/v1/audio/transcriptions", "models here read text"),
    ("GET", "/tools", "tools are the client's to run"),
    ("POST", "/tools", "tools are the client's to run"),
)

ROUTES = (
    *(
        HttpRoute("POST", path, _completion, "prompts continued", completion.LlamaCompletionRequest)
        for path in ("/completion", "/completions")
    ),
    HttpRoute("POST", "/tokenize", _tokenize, "token ids of a text", tokens.TokenizeRequest),
    HttpRoute("POST", "/detokenize", _detokenize, "the text of token ids", tokens.DetokenizeRequest),
    HttpRoute("POST", "/apply-template", _apply_template, "messages as the model is given them", chat.ChatRequest),
    HttpRoute("GET", "/props", _properties, "the model, and what a completion runs by that names nothing"),
    HttpRoute("GET", "/slots", _slots, "what runs, and what more may", answers=properties.Slots),
    *(HttpRoute(method, path, _absent(reason), f"not here: {reason}", absent=True) for method, path, reason in _ABSENT),
)
