"""Ollama's routes: lines of JSON, durations in nanoseconds, and what its clients want to know of models."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from protocol.answers import ModelDescription, ModelList, Progress, StatusReport
from protocol.dialects.fault import HttpFault
from protocol.dialects.ollama import models
from protocol.dialects.ollama.generation import (
    GenerateRequest,
    LineStream,
    OllamaChatRequest,
    from_outcome,
    is_load,
    is_unload,
    to_run_request,
    unloaded,
)
from protocol.dialects.shape import read
from protocol.embedding import EmbeddedText
from protocol.errors import InvalidRequest
from protocol.plan import RunRequest
from protocol.requests import Embed
from protocol.summaries import ModelSummary, PrefixCacheReport, ResidentModel, TensorSummary
from tests.actors.fake_domain import make_embedded
from tests.protocol.dialects.messages_factory import accepted, drawn, finished, metrics, outcome, tokens

NOW = "2026-01-31T00:00:00Z"
HELLO = [{"role": "user", "content": "Hello"}]


def chat(**fields: Any) -> OllamaChatRequest:
    return read(OllamaChatRequest, {"messages": HELLO, **fields})


def generate(**fields: Any) -> GenerateRequest:
    return read(GenerateRequest, {"prompt": "Hello", **fields})


def requested(asked: OllamaChatRequest | GenerateRequest) -> RunRequest:
    return to_run_request(asked, "tiny")


def test_options_and_the_dialects_defaults_are_in_the_request() -> None:
    plain = requested(chat()).execution
    assert (plain.sampling.temperature, plain.sampling.top_k, plain.sampling.top_p) == (0.8, 40, 0.9)
    assert plain.limits.max_tokens == 2048
    options = {"temperature": 0, "num_predict": 5, "num_ctx": 128, "seed": -1, "stop": ["."], "top_k": 1}
    asked = requested(chat(options=options)).execution
    assert (asked.sampling.temperature, asked.sampling.top_k, asked.limits.max_tokens) == (0.0, 1, 5)
    assert (asked.context_length, asked.stop.strings, asked.sampling.seed) == (128, (".",), 2**63 - 1)


def test_what_was_thought_before_goes_with_its_message() -> None:
    messages = [*HELLO, {"role": "assistant", "content": "Hi", "thinking": "Hm."}, {**HELLO[0], "thinking": "x"}]
    told = requested(chat(messages=messages)).messages or ()
    assert [one.reasoning_content for one in told] == [None, "Hm.", None]


def test_a_prompt_goes_through_the_template_unless_it_is_raw() -> None:
    templated = requested(generate(system="Be brief."))
    assert [(one.role, one.content) for one in templated.messages or ()] == [("system", "Be brief."), ("user", "Hello")]
    assert requested(generate(raw=True)).prompt == "Hello"


@pytest.mark.parametrize("form", ["json", {"type": "object"}])
def test_a_format_holds_the_answer(form: object) -> None:
    grammar = requested(chat(format=form)).execution.grammar
    assert grammar is not None
    assert json.loads(grammar.source) == {"type": "object"}


@pytest.mark.parametrize(
    "asked",
    [
        generate(suffix="x"),
        generate(template="x"),
        generate(images=["x"]),
        chat(format="xml"),
        chat(options={"n": 2}),
        chat(messages=[{"role": "user", "content": "", "images": ["x"]}]),
    ],
)
def test_what_is_not_supported_is_refused_and_not_left_out(asked: OllamaChatRequest | GenerateRequest) -> None:
    with pytest.raises(InvalidRequest):
        requested(asked)


@pytest.mark.parametrize("asked", [chat(messages=[]), generate(prompt=""), generate(prompt="", keep_alive="5m")])
def test_a_request_without_input_loads_the_model_and_answers_nothing(
    asked: OllamaChatRequest | GenerateRequest,
) -> None:
    assert is_load(asked)
    assert requested(asked).execution.limits.max_tokens == 1
    whole = json.loads(from_outcome(asked, outcome("x"), NOW).json_bytes())
    stream = LineStream(asked, NOW)
    sent = b"".join(stream.feed(0, one, {}) for one in (accepted(), tokens("x"), finished("x")))
    assert json.loads(sent) == whole
    assert (whole["done_reason"], whole.get("response", whole.get("message", {}).get("content"))) == ("load", "")
    assert "eval_count" not in whole


@pytest.mark.parametrize("none", [0, "0", "0s", 0.0, "0m"])
def test_a_time_of_nothing_and_no_input_unload_the_model(none: object) -> None:
    asked = generate(prompt="", keep_alive=none)
    assert is_unload(asked)
    assert is_unload(chat(messages=[], keep_alive=none))
    told = json.loads(unloaded(asked, "tiny", NOW).json_bytes())
    assert (told["response"], told["done"], told["done_reason"]) == ("", True, "unload")
    assert not is_unload(generate(keep_alive=none))
    assert not is_unload(generate(prompt="", keep_alive="10m"))


def test_lines_end_with_counts_and_durations() -> None:
    stream = LineStream(chat(), NOW)
    timed = metrics(wall_ms=2.5, load_ms=0.0, prefill_ms=1.0, decode_ms=None)
    messages = (accepted(), tokens("Hi"), finished("Hi", stop="max_tokens", metrics=timed))
    sent = b"".join(stream.feed(0, one, {}) for one in messages) + stream.end()
    part, last = [json.loads(line) for line in sent.splitlines()]
    assert part == {
        "model": "tiny",
        "created_at": NOW,
        "message": {"role": "assistant", "content": "Hi"},
        "done": False,
    }
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "length", "")
    assert (last["total_duration"], last["prompt_eval_duration"]) == (2_500_000, 1_000_000)
    assert "eval_duration" not in last
    assert (last["prompt_eval_count"], last["eval_count"]) == (3, 2)
    assert last["energy"]["reason"] == "no meter"


def test_log_probabilities_come_with_the_lines_of_their_tokens() -> None:
    asked = chat(logprobs=True, top_logprobs=1)
    told = tokens("Hi", logprobs=(drawn(7, -0.5, t8=-1.0),))
    stream = LineStream(asked, NOW)
    sent = b"".join(stream.feed(0, one, {7: "Hi", 8: "Ho"}) for one in (accepted(), told, finished("Hi")))
    part, last = map(json.loads, sent.splitlines())
    assert requested(asked).execution.logprobs == 1
    (one,) = part["logprobs"]
    assert (one["token"], one["logprob"], one["top_logprobs"][0]["token"]) == ("Hi", -0.5, "Ho")
    assert "logprobs" not in last


def test_a_generate_answers_with_a_response() -> None:
    told = json.loads(from_outcome(generate(), outcome("Hi"), NOW).json_bytes())
    assert (told["response"], told["done_reason"]) == ("Hi", "stop")
    assert "message" not in told


def test_a_stream_that_fails_says_so_in_a_line() -> None:
    assert json.loads(LineStream(chat(), NOW).fail(HttpFault(500, "internal_error", "out of luck"))) == {
        "error": "out of luck"
    }


def test_models_have_full_details_and_those_in_memory_are_listed_too() -> None:
    summary = ModelSummary(
        name="tiny",
        path="/tiny.gguf",
        size_bytes=5,
        installed=True,
        architecture="llama",
        parameters=134_500_000,
        tensor_types={"Q4_1": 5, "Q6_K": 1, "F32": 12},
    )
    resident = ResidentModel(model="other", quantization="q8_0", backend="reference", weights_bytes=7, in_use=False)
    status = StatusReport(
        engine_version="0.1.0",
        pid=1,
        uptime_s=1.0,
        executions=(),
        models_loaded=(resident,),
        memory_bytes={},
        prefix_cache=PrefixCacheReport(blocks=0, size_bytes=0, limit_bytes=0),
        energy={},
        finished_total=0,
    )
    first, second = models.tags(ModelList(models=(summary,)), status)["models"]
    assert first["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "134M",
        "quantization_level": "Q4_1",
    }
    assert (second["name"], second["size"]) == ("other", 7)
    assert [one["name"] for one in models.loaded_models(status)["models"]] == ["other"]


def test_a_model_is_described_by_its_own_metadata() -> None:
    description = ModelDescription(
        name="tiny",
        path="/tiny.gguf",
        size_bytes=5,
        gguf_version=3,
        architecture="llama",
        metadata={"llama.context_length": 64, "tokenizer.chat_template": "{{ tools }}"},
        tensors=(TensorSummary(name="t", type="F32", shape=(1,), size_bytes=4),),
        parameters_total=1,
        recipes=(),
        memory=None,
    )
    told = models.described(description)
    assert told["model_info"]["llama.context_length"] == 64
    assert told["capabilities"] == ["completion", "embedding", "tools"]
    assert json.loads(models.pull_line(description)) == {"status": "success"}


def test_a_pull_tells_how_far_it_is() -> None:
    line = models.pull_line(Progress(stage="download", done=1, total=4))
    assert json.loads(line) == {"status": "pulling", "total": 4, "completed": 1}


def test_vectors_come_as_a_list_or_as_the_older_route_has_them() -> None:
    vector = base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()
    request = models.to_embedding_request(read(models.EmbedRequest, {"input": ["a", "b"]}), "tiny")
    answer = make_embedded(Embed(request=request)).model_copy(
        update={"texts": (EmbeddedText(vector=vector, tokens=1),) * 2}
    )
    assert models.from_embedded(answer, older=False)["embeddings"] == [(0.5, -2.0)] * 2
    assert models.from_embedded(answer, older=True) == {"embedding": (0.5, -2.0)}
    for refused in ({}, {"input": "a", "dimensions": 5}):
        with pytest.raises(InvalidRequest):
            models.to_embedding_request(read(models.EmbedRequest, refused), "tiny")
