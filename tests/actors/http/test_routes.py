"""Each dialect's routes over a real socket, before a fake backend."""

from __future__ import annotations

import json

import pytest
import trio

from actors.http.options import HttpRules
from tests.actors.engine_factory import until
from tests.actors.fake_backend import FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.http.http_stage import HELLO, RUN, receive_until, stage
from tests.protocol.dialects.sse_reader import read_events


async def test_a_run_is_answered_with_the_documents_account() -> None:
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/weos/run", json=RUN)
    told = answer.json()
    assert told["result"] == "Hello"
    assert told["metrics"]["tokens"] == 2
    assert answer.headers["x-execution-id"] == told["execution_id"]
    assert answer.headers["x-plan-fingerprint"] == told["record"]["plan_fingerprint"]


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_a_run_is_streamed_in_the_form_that_its_client_accepts(accept: str) -> None:
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/weos/run", json=RUN, headers={"Accept": accept})
    assert answer.headers["content-type"] == accept
    lines = answer.content.splitlines()
    events = read_events(answer.content) if "event" in accept else [json.loads(line) for line in lines]
    assert [one["type"] for one in events] == ["Accepted", "Tokens", "Finished"]
    assert events[-1]["result"] == "Hello"


async def test_a_request_that_is_refused_is_not_streamed() -> None:
    async with stage() as served, served.client() as client:
        headers = {"Accept": "text/event-stream"}
        answer = await client.post("/v1/weos/run", json={**RUN, "model": "huge"}, headers=headers)
        unknown = await client.post("/v1/weos/run", json={**RUN, "colour": "red"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_model")
    assert (unknown.status_code, unknown.json()["error"]["params"]["field"]) == (400, "request.colour")


async def test_questions_of_the_socket_have_routes() -> None:
    async with stage() as served, served.client() as client:
        plan = await client.post("/v1/weos/plan", json=RUN)
        ids = await client.post("/v1/weos/tokenize", json={"model": "tiny", "text": "né"})
        text = await client.post("/v1/weos/detokenize", json={"model": "tiny", "token_ids": ids.json()["token_ids"]})
        models = await client.get("/v1/weos/models")
        schema = await client.get("/v1/weos/schema/request")
        absent = await client.get("/v1/weos/schema/nothing")
    assert plan.json()["plan_fingerprint"] == plan.headers["x-plan-fingerprint"]
    assert text.json() == {"text": "né", "pieces": ["n", "é"]}
    assert models.json()["models"][0]["name"] == "tiny"
    assert "model" in schema.json()["properties"]
    assert absent.status_code == 404


async def test_observers_see_executions_of_others() -> None:
    async with stage() as served, served.client() as client, await served.connect() as observer:
        await observer.send_all(b"GET /v1/weos/events?kinds=accepted,ended HTTP/1.1\r\nHost: e\r\n\r\n")
        await receive_until(observer, b"event: Subscribed")
        record = (await client.post("/v1/weos/run", json=RUN)).json()
        told = await receive_until(observer, b'"kind":"ended"')
    assert b'"kind":"accepted"' in told
    assert record["execution_id"].encode() in told


async def test_an_execution_is_cancelled_by_its_id() -> None:
    async with (
        stage(FakeBackend()) as served,
        served.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**HELLO, "stream": True}) as answer,
    ):
        done = await client.post(f"/v1/weos/executions/{answer.headers['x-execution-id']}/cancel")
        events = read_events(b"".join([part async for part in answer.aiter_bytes()]))
    assert done.json() == {}
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert events[-1] == "[DONE]"


async def test_a_conversation_is_answered_in_one_piece_or_in_chunks() -> None:
    async with stage() as served, served.client() as client:
        whole = await client.post("/v1/chat/completions", json=HELLO)
        chunks = await client.post("/v1/chat/completions", json={**HELLO, "stream": True})
        unprefixed = await client.post("/chat/completions", content=json.dumps(HELLO), headers={"Content-Type": "a/b"})
    assert whole.json()["choices"][0]["message"]["content"] == "Hello"
    told = read_events(chunks.content)[:-1]
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in told) == "Hello"
    assert told[0]["system_fingerprint"] == whole.json()["system_fingerprint"]
    assert unprefixed.json()["choices"][0]["message"]["content"] == "Hello"


async def test_several_prompts_run_side_by_side() -> None:
    async with stage() as served, served.client() as client:
        prompts = {"model": "tiny", "prompt": ["a", "b", "c"], "logprobs": None}
        answer = await client.post("/v1/completions", json=prompts)
        failed = await client.post("/v1/completions", json={**prompts, "model": "huge"})
        streamed = await client.post("/v1/completions", json={**prompts, "stream": True})
    assert [one["text"] for one in answer.json()["choices"]] == ["Hello"] * 3
    assert len(answer.headers["x-execution-id"].split(", ")) == 3
    assert failed.status_code == 404
    assert read_events(streamed.content)[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
async def test_every_choice_has_its_log_probabilities(stream: bool) -> None:
    asked = {"model": "tiny", "prompt": "abc", "n": 2, "logprobs": 1, "max_tokens": 8, "stream": stream}
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/completions", json=asked)
    chunks = [event for event in read_events(answer.content) if event != "[DONE]"] if stream else [answer.json()]
    told: dict[int, list[str]] = {0: [], 1: []}
    for choice in (choice for chunk in chunks for choice in chunk["choices"] if choice["logprobs"]):
        told[choice["index"]] += choice["logprobs"]["tokens"]
    assert told == {0: ["d", "e"], 1: ["f", "g"]}  # of tokens 100 to 103


async def test_the_default_model_answers_for_those_that_are_unknown() -> None:
    async with stage(rules=HttpRules(default_model="tiny")) as served, served.client() as client:
        for model in (None, "gpt-4"):
            answer = await client.post("/v1/chat/completions", json={**HELLO, "model": model})
            assert answer.json()["model"] == "tiny"


async def test_without_a_default_model_one_has_to_be_named() -> None:
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/chat/completions", json={**HELLO, "model": None})
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")


async def test_models_are_listed_and_found() -> None:
    async with stage() as served, served.client() as client:
        listed = await client.get("/v1/models")
        found = await client.get("/v1/models/tiny")
        absent = await client.get("/v1/models/some/other")
    assert [one["id"] for one in listed.json()["data"]] == ["tiny"]
    assert found.json()["object"] == "model"
    assert absent.status_code == 404


async def test_the_other_dialects_answer_in_their_own_shapes() -> None:
    async with stage() as served, served.client() as client:
        message = await client.post("/v1/messages", json={**HELLO, "max_tokens": 8})
        events = await client.post("/v1/messages", json={**HELLO, "max_tokens": 8, "stream": True})
        counted = await client.post("/v1/messages/count_tokens", json=HELLO)
        lines = await client.post("/api/chat", json=HELLO)
        generated = await client.post("/api/generate", json={"model": "tiny", "prompt": "a", "stream": False})
        responded = await client.post("/v1/responses", json={"model": "tiny", "input": "a"})
    assert message.json()["content"][0]["text"] == "Hello"
    assert read_events(events.content)[-1] == {"type": "message_stop"}
    assert counted.json() == {"input_tokens": 0}
    assert [json.loads(line)["done"] for line in lines.content.splitlines()] == [False, True]
    assert generated.json()["response"] == "Hello"
    assert responded.json()["output"][0]["content"][0]["text"] == "Hello"


async def test_errors_are_told_in_the_dialect_of_their_route() -> None:
    async with stage() as served, served.client() as client:
        anthropic = await client.post("/v1/messages", json={**HELLO, "model": "huge", "max_tokens": 8, "stream": True})
        ollama = await client.post("/api/chat", json={**HELLO, "model": "huge"})
    assert (anthropic.status_code, anthropic.json()["type"]) == (404, "error")
    assert ollama.status_code == 404
    assert isinstance(ollama.json()["error"], str)


async def test_models_are_shown_pulled_and_deleted_as_ollamas_clients_ask() -> None:
    domain = FakeDomain()
    async with stage(domain=domain) as served, served.client() as client:
        tags = await client.get("/api/tags")
        shown = await client.post("/api/show", json={"name": "tiny"})
        version = await client.get("/api/version")
        running = await client.get("/api/ps")
        empty = await client.post("/api/generate", json={"model": "tiny"})
        unloaded = await client.post("/api/generate", json={"model": "tiny", "keep_alive": 0})
        deleted = await client.request("DELETE", "/api/delete", json={"model": "tiny"})
    assert [one["name"] for one in tags.json()["models"]] == ["tiny"]
    assert shown.json()["details"]["family"] == "llama"
    assert version.json()["version"].count(".") == 2
    assert running.json() == {"models": []}
    assert empty.json()["done_reason"] == "load"
    assert unloaded.json()["done_reason"] == "unload"
    assert domain.unloaded == ["tiny"]
    assert deleted.status_code == 200
    assert domain.removed == ["tiny"]


async def test_the_small_routes_of_llama_server_speak_of_the_default_model() -> None:
    async with stage(rules=HttpRules(default_model="tiny")) as served, served.client() as client:
        for model in ({}, {"model": "gpt-4"}):
            ids = await client.post("/tokenize", json={"content": "né", **model})
            pieces = await client.post("/tokenize", json={"content": "né", "with_pieces": True, **model})
            text = await client.post("/detokenize", json={"tokens": ids.json()["tokens"], **model})
            assert ids.json() == {"tokens": [0x6E, 0xE9]}
            assert pieces.json()["tokens"][1] == {"id": 0xE9, "piece": "é"}
            assert text.json() == {"content": "né"}


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/apply-template", HELLO),
        ("/chat/completions/input_tokens", HELLO),
        ("/v1/chat/completions/input_tokens", HELLO),
        ("/v1/messages/count_tokens", HELLO),
        ("/v1/responses/input_tokens", {"input": "Hello"}),
        ("/api/show", {}),
        ("/api/generate", {}),
        ("/completion", {"prompt": "Hello"}),
    ],
)
async def test_the_default_model_answers_what_is_asked_about_others(path: str, content: dict[str, object]) -> None:
    async with stage(rules=HttpRules(default_model="tiny")) as served, served.client() as client:
        answer = await client.post(path, json={**content, "model": "gpt-4"})
    assert answer.status_code == 200
    async with stage() as served, served.client() as client:
        refused = await client.post(path, json={**content, "model": "gpt-4"})
        unnamed = await client.post(path, json={**content, "model": None})
    assert (refused.status_code, unnamed.status_code) == (404, 404)


async def test_a_completion_in_llama_servers_shape() -> None:
    async with stage() as served, served.client() as client:
        asked = {"model": "tiny", "prompt": [97, "né"], "ignore_eos": True}
        whole = (await client.post("/completion", json=asked)).json()
        several = (await client.post("/completions", json={**asked, "prompt": ["a", "b"]})).json()
        streamed = await client.post("/completion", json={**asked, "stream": True})
        refused = await client.post("/completion", json={**asked, "model": 7})
    assert (whole["content"], whole["prompt"], whole["tokens_evaluated"]) == ("Hello", "ané", 3)
    assert whole["generation_settings"]["logit_bias"] == [{"token": 2, "bias": None}]
    assert [one["content"] for one in several] == ["Hello", "Hello"]
    assert "".join(one["content"] for one in read_events(streamed.content)) == "Hello"
    assert refused.status_code == 400


async def end_first_operation(domain: FakeDomain) -> None:
    await until(lambda: bool(domain.operations_begun))
    domain.operations_begun[0].may_end.set()


async def test_texts_and_token_ids_may_be_mixed_in_what_vectors_are_made_of() -> None:
    domain = FakeDomain()
    async with (
        stage(domain=domain, rules=HttpRules(default_model="tiny")) as served,
        served.client() as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(end_first_operation, domain)
        asked = {"model": "gpt-4", "input": ["né", [7, "é", 8], {"content": [{"type": "text", "text": "n"}]}]}
        answer = await client.post("/v1/embeddings", json=asked)
        refused = await client.post("/v1/embeddings", json={"input": {"content": [{"type": "image_url"}]}})
    assert answer.json()["usage"]["prompt_tokens"] == 6
    assert refused.json()["error"]["param"] == "input"


async def test_documents_are_ranked_in_the_form_of_other_servers() -> None:
    domain = FakeDomain()
    async with (
        stage(domain=domain, rules=HttpRules(default_model="tiny")) as served,
        served.client() as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(end_first_operation, domain)
        answer = await client.post("/v1/rerank", json={"model": "m", "query": "q", "documents": ["a", {"text": "bcd"}]})
        refused = await client.post("/rerank", json={"query": "q"})
    assert [result["index"] for result in answer.json()["results"]] == [1, 0]
    assert refused.json()["error"]["param"] == "documents"


async def test_slots_are_busy_while_executions_run() -> None:
    rules = HttpRules(default_model="tiny", defaults={"execution": {"max_sequences": 1}})
    async with stage(FakeBackend(), rules=rules) as served, served.client() as client:
        idle = await client.get("/slots?fail_on_no_slot=1")
        async with client.stream("POST", "/v1/chat/completions", json={**HELLO, "stream": True}) as answer:
            busy = await client.get("/slots")
            none_free = await client.get("/slots?fail_on_no_slot=1")
            assert answer.status_code == 200
    assert [slot["is_processing"] for slot in idle.json()] == [False]
    assert [slot["is_processing"] for slot in busy.json()] == [True]
    assert (none_free.status_code, none_free.headers["retry-after"]) == (503, "1")


async def test_defaults_count_where_a_request_says_nothing() -> None:
    rules = HttpRules(default_model="tiny", defaults={"seed": 7, "n_predict": 5, "execution": {"max_sequences": 3}})
    async with stage(rules=rules) as served, served.client() as client:
        told = (await client.get("/props")).json()
        asked = {"prompt": "a", "seed": 8, "n_predict": None}
        own = (await client.post("/completion", json=asked)).json()["generation_settings"]
        plan = await client.post("/v1/weos/plan", json=RUN)
    params = told["default_generation_settings"]["params"]
    assert (params["seed"], params["n_predict"], told["total_slots"]) == (7, 5, 3)
    assert (own["seed"], own["n_predict"]) == (8, 5)
    assert plan.json()["plan"]["sampling"]["seed"] == 0


async def test_figures_are_told_by_llama_servers_names_too() -> None:
    async with stage() as served, served.client() as client:
        await client.post("/v1/chat/completions", json=HELLO)
        answer = await client.get("/metrics")
    assert "llamacpp:tokens_predicted_total 2" in answer.text
    assert int(answer.headers["process-start-time-unix"]) > 0


async def test_a_chat_tells_llama_servers_own_account_where_that_is_asked_for() -> None:
    async with stage() as served, served.client() as client:
        whole = (await client.post("/chat/completions", json={**HELLO, "verbose": True})).json()
        silent = (await client.post("/chat/completions", json=HELLO)).json()
        chunks = await client.post("/chat/completions", json={**HELLO, "stream": True, "timings_per_token": True})
    assert whole["__verbose"]["content"] == "Hello"
    assert "__verbose" not in silent
    assert read_events(chunks.content)[-2]["timings"]["predicted_n"] == 2


@pytest.mark.parametrize("path", ["/infill", "/slots/0?action=save", "/lora-adapters"])
async def test_what_the_engine_has_no_like_of_is_501_by_name(path: str) -> None:
    async with stage() as served, served.client() as client:
        answer = await client.post(path, json={})
    assert (answer.status_code, answer.json()["error"]["type"]) == (501, "not_supported_error")
    assert path.partition("?")[0] in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/apply-template", "/chat/completions/input_tokens", "/v1/messages/count_tokens"])
async def test_what_is_not_run_need_not_fit_the_context_of_a_run(path: str) -> None:
    rules = HttpRules(default_model="tiny", defaults={"execution": {"context_length": 1}})
    domain = FakeDomain()
    async with stage(domain=domain, rules=rules) as served, served.client() as client:
        answer = await client.post(path, json=HELLO)
    assert answer.status_code == 200
    assert [request.execution.context_length for request in domain.prepared] == [None]


async def test_a_bound_on_thinking_is_left_out_where_nothing_can_be_bounded() -> None:
    thinking = {"type": "enabled", "budget_tokens": 64}
    async with stage() as served, served.client() as client:
        answer = await client.post("/v1/messages", json={**HELLO, "max_tokens": 8, "thinking": thinking})
        counted = await client.post("/v1/messages/count_tokens", json={**HELLO, "thinking": thinking})
        refused = await client.post("/v1/weos/plan", json={**RUN, "execution": {"reasoning": {"max_tokens": 64}}})
    assert (answer.status_code, counted.status_code, refused.status_code) == (200, 200, 400)
