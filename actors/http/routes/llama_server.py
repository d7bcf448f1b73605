"""llama-server's small routes. They name no model there: ``model`` may be given, and else the default one answers."""

from __future__ import annotations

from actors.http.call import Call
from actors.http.routes.route import HttpRoute
from protocol.dialects import llama_server
from protocol.dialects.shape import read


async def _tokenize(call: Call) -> None:
    asked = read(llama_server.TokenizeRequest, call.content())
    async with call.client() as client:
        answer = await client.ask(llama_server.to_tokenize(asked, call.model(asked.model)))
    await call.reply(llama_server.from_token_ids(asked, answer))


async def _detokenize(call: Call) -> None:
    asked = read(llama_server.DetokenizeRequest, call.content())
    async with call.client() as client:
        answer = await client.ask(llama_server.to_detokenize(asked, call.model(asked.model)))
    await call.reply(llama_server.from_text(answer))


ROUTES = (
    HttpRoute("POST", "/tokenize", _tokenize, "token ids of a text", llama_server.TokenizeRequest),
    HttpRoute("POST", "/detokenize", _detokenize, "the text of token ids", llama_server.DetokenizeRequest),
)
