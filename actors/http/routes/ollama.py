"""Ollama's routes."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime, timezone
from functools import partial

from actors.http.call import Call
from actors.http.routes.route import HttpRoute
from actors.http.translation import answered, embedded, execution_headers, outcomes_of, stream_answer
from engine.identity.version import ENGINE_VERSION
from protocol.dialects.event_stream import MEDIA_TYPES
from protocol.dialects.fault import error_content, fault_of
from protocol.dialects.ollama import generation, models
from protocol.dialects.shape import to_json
from protocol.errors import EngineError
from protocol.requests import ListModels, ModelInfo, PullModel, RemoveModel, Status, UnloadModel


async def _generate(kind: type[generation.OllamaChatRequest | generation.GenerateRequest], call: Call) -> None:
    asked = await call.read(kind)
    if generation.is_unload(asked):
        await _unload(asked, call)
        return
    runs = (await call.aside(partial(generation.to_run_request, asked, call.model(asked.model))),)
    created_at = _now()
    async with call.client() as client:
        if asked.stream:
            await stream_answer(call, client, runs, generation.LineStream(asked, created_at), "ndjson")
        else:
            (outcome,) = await outcomes_of(client, runs, call.link.rules.default_model)
            answer = generation.from_outcome(asked, outcome, created_at)
            await call.reply(answer, headers=execution_headers(outcome.accepted))


async def _unload(asked: generation.OllamaChatRequest | generation.GenerateRequest, call: Call) -> None:
    call.require_manager()
    model = call.model(asked.model)
    async with call.client() as client:
        await answered(call, model, lambda known: client.ask(UnloadModel(model=known)))
    await call.reply(generation.unloaded(asked, model, _now()))


def _now() -> str:
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


async def _tags(call: Call) -> None:
    async with call.client() as client:
        await call.reply(models.tags(await client.ask(ListModels()), await client.ask(Status())))


async def _ps(call: Call) -> None:
    async with call.client() as client:
        await call.reply(models.loaded_models(await client.ask(Status())))


async def _show(call: Call) -> None:
    model = call.model((await call.read(models.NamedModel)).chosen)
    async with call.client() as client:
        described = await answered(call, model, lambda known: client.ask(ModelInfo(model=known)))
    await call.reply(models.described(described))


async def _embed(older: bool, call: Call) -> None:
    asked = await call.read(models.EmbedRequest)
    request = await call.aside(partial(models.to_embedding_request, asked, call.model(asked.model)))
    async with call.client() as client:
        answer = await embedded(call, client, request)
    await call.reply_made(partial(models.from_embedded, answer, older=older))


async def _pull(call: Call) -> None:
    call.require_manager()
    asked = await call.read(models.NamedModel)
    message = PullModel(model=call.model(asked.chosen))
    media_type = MEDIA_TYPES["ndjson"]
    async with call.client() as client:
        if not asked.stream:
            await client.ask(message)
            await call.reply({"status": "success"})
            return
        async with call.stream(media_type, b"") as wire:
            try:
                async with aclosing(client.follow(message)) as answers:
                    async for answer in answers:
                        await wire.begin_stream(media_type)
                        await wire.write(models.pull_line(answer))
            except EngineError as error:
                if not wire.begun:
                    raise
                await wire.write(to_json(error_content("ollama", fault_of(error))) + b"\n")


async def _delete(call: Call) -> None:
    call.require_manager()
    model = call.model((await call.read(models.NamedModel)).chosen)
    async with call.client() as client:
        await client.ask(RemoveModel(model=model))
    await call.reply({})


async def _version(call: Call) -> None:
    await call.reply({"version": ENGINE_VERSION})


ROUTES = (
    HttpRoute(
        *("POST", "/api/chat", partial(_generate, generation.OllamaChatRequest), "the next message of a conversation"),
        *(generation.OllamaChatRequest, generation.AnswerLine),
    ),
    HttpRoute(
        *("POST", "/api/generate", partial(_generate, generation.GenerateRequest), "a prompt answered"),
        *(generation.GenerateRequest, generation.AnswerLine),
    ),
    HttpRoute("GET", "/api/tags", _tags, "the models here"),
    HttpRoute("GET", "/api/ps", _ps, "the models in memory"),
    HttpRoute("POST", "/api/show", _show, "what a model's file tells", models.NamedModel),
    HttpRoute("POST", "/api/embed", partial(_embed, False), "vectors of texts", models.EmbedRequest),
    HttpRoute("POST", "/api/embeddings", partial(_embed, True), "the vector of a text", models.EmbedRequest),
    HttpRoute("POST", "/api/pull", _pull, "fetch a model", models.NamedModel),
    HttpRoute("DELETE", "/api/delete", _delete, "remove a model", models.NamedModel),
    HttpRoute("GET", "/api/version", _version, "the version alone"),
)
