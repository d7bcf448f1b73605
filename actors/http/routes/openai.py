"""OpenAI's routes."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from actors.http.call import Call
from actors.http.http_error import HttpError
from actors.http.routes.route import HttpRoute
from actors.http.translation import (
    answered,
    embedded,
    execution_headers,
    outcomes_of,
    planned,
    reranked,
    stream_answer,
    token_ids,
)
from protocol.client import Client
from protocol.dialects.fault import HttpFault
from protocol.dialects.generation import without_bounds
from protocol.dialects.llama_server.completion_answer import completion
from protocol.dialects.openai import chat, chat_answer, completions, embeddings, models, rerank, responses
from protocol.dialects.prompt_parts import texts_of, token_ids_of
from protocol.dialects.shape import read
from protocol.errors import UnknownModel
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord
from protocol.requests import Detokenize, ListModels, Status


async def _chat(call: Call) -> None:
    asked = await call.read(chat.ChatRequest)
    runs = (await call.aside(partial(chat.to_run_request, asked, call.model(asked.model))),)
    async with call.client() as client:
        if asked.stream:
            await stream_answer(call, client, runs, chat.ChatStream(asked, client.welcome.build, int(time.time())))
        else:
            (outcome,) = await outcomes_of(client, runs, call.link.rules.default_model)
            answer = chat.from_outcome(asked, outcome, int(time.time()))
            if asked.verbose:
                answer = answer.model_copy(update={"verbose": await _verbose(client, outcome.record)})
            await call.reply(answer, headers=execution_headers(outcome.accepted))


async def _verbose(client: Client, record: ExecutionRecord) -> dict[str, Any]:
    """llama-server's own account of a conversation's answer: the prompt above all."""
    model, prompt = record.plan.model_ref.path, record.prompt_token_ids
    spelled = await client.ask(Detokenize(model=model, token_ids=prompt, control_tokens=True))
    told = completion(record, record, 0, spelled.text, stream=False)
    return told | {"content": record.result, "tokens": record.token_ids}


async def _completions(call: Call) -> None:
    asked = await call.read(completions.CompletionRequest)
    runs = await call.aside(partial(completions.to_run_requests, asked, call.model(asked.model)))
    async with call.client() as client:
        if asked.stream:
            translation = completions.CompletionStream(asked, client.welcome.build, int(time.time()))
            await stream_answer(call, client, runs, translation)
        else:
            outcomes = await outcomes_of(client, runs, call.link.rules.default_model)
            answer = completions.from_outcomes(asked, outcomes, int(time.time()))
            await call.reply(answer, headers=execution_headers(*(one.accepted for one in outcomes)))


async def _responses(call: Call) -> None:
    asked = await call.read(responses.ResponsesRequest)
    runs = (await call.aside(partial(responses.to_run_request, asked, call.model(asked.model))),)
    async with call.client() as client:
        if asked.stream:
            translation = responses.ResponsesStream(asked, client.welcome.build, int(time.time()))
            await stream_answer(call, client, runs, translation)
        else:
            (outcome,) = await outcomes_of(client, runs, call.link.rules.default_model)
            answer = responses.from_outcome(asked, outcome, int(time.time()))
            await call.reply(answer, headers=execution_headers(outcome.accepted))


async def _chat_tokens(call: Call) -> None:
    asked = await call.read(chat.ChatRequest)
    await _reply_tokens(call, await call.aside(partial(chat.to_run_request, asked, call.model(asked.model))))


async def _response_tokens(call: Call) -> None:
    asked = await call.read(responses.ResponsesRequest)
    await _reply_tokens(call, await call.aside(partial(responses.to_run_request, asked, call.model(asked.model))))


async def _reply_tokens(call: Call, run: RunRequest) -> None:
    async with call.client() as client:
        plan = await planned(call, client, without_bounds(run))
    counted = {"object": "response.input_tokens", "input_tokens": plan.estimate.prompt_tokens}
    await call.reply(counted, headers=execution_headers(plan))


async def _embeddings(call: Call) -> None:
    content = await call.content()
    mixed = await call.aside(partial(embeddings.mixed_input, content))
    async with call.client() as client:
        if mixed is not None:
            named = read(embeddings.EmbeddingsRequest, {**content, "input": None})
            ids = await answered(call, call.model(named.model), partial(token_ids, client, texts_of(mixed)))
            content["input"] = [token_ids_of(parts, ids) for parts in mixed]
        asked = await call.aside(partial(read, embeddings.EmbeddingsRequest, content))
        answer = await embedded(call, client, embeddings.to_embedding_request(asked, call.model(asked.model)))
    await call.reply_made(partial(embeddings.from_embedded, asked, answer))


async def _rerank(call: Call) -> None:
    asked = await call.read(rerank.RerankBody)
    request = await call.aside(partial(rerank.to_rerank_request, asked, call.model(asked.model)))
    async with call.client() as client:
        answer = await reranked(call, client, request)
    await call.reply(rerank.from_reranked(asked, answer))


async def _models(call: Call) -> None:
    await call.reply(await _listed(call))


async def _model(call: Call) -> None:
    name = call.request.path_params["name"]
    found = models.find_model(await _listed(call), name)
    if found is None:
        raise HttpError(HttpFault(404, UnknownModel.code, f"there is no model {name[:80]!r}", {"field": "model"}))
    await call.reply(found)


async def _listed(call: Call) -> models.ModelsAnswer:
    async with call.client() as client:
        return models.from_models(await client.ask(ListModels()), await client.ask(Status()))


def _routes(prefix: str) -> tuple[HttpRoute, ...]:
    """With and without ``/v1``: clients are configured with either. ``/completions`` alone is llama-server's."""
    return (
        HttpRoute(
            *("POST", prefix + "/chat/completions", _chat, "the next message of a conversation"),
            *(chat.ChatRequest, chat_answer.ChatCompletion),
        ),
        HttpRoute(
            *("POST", prefix + "/chat/completions/input_tokens", _chat_tokens, "how many tokens a message would read"),
            chat.ChatRequest,
        ),
        HttpRoute(
            *("POST", prefix + "/embeddings", _embeddings, "vectors of texts"),
            *(embeddings.EmbeddingsRequest, embeddings.EmbeddingsAnswer),
        ),
        *(
            HttpRoute(
                *("POST", prefix + path, _rerank, "documents in the order of how well they answer a query"),
                *(rerank.RerankBody, rerank.RerankAnswer),
            )
            for path in ("/rerank", "/reranking")
        ),
        HttpRoute(
            *("POST", prefix + "/responses", _responses, "items answered by items"),
            *(responses.ResponsesRequest, responses.Response),
        ),
        HttpRoute(
            *("POST", prefix + "/responses/input_tokens", _response_tokens, "how many tokens a response would read"),
            responses.ResponsesRequest,
        ),
        HttpRoute("GET", prefix + "/models", _models, "the models here", answers=models.ModelsAnswer),
        HttpRoute("GET", prefix + "/models/{name:path}", _model, "one of them", answers=models.ModelObject),
    )


ROUTES = (
    HttpRoute(
        *("POST", "/v1/completions", _completions, "texts or token ids continued"),
        *(completions.CompletionRequest, completions.Completion),
    ),
    *_routes("/v1"),
    *_routes(""),
)
