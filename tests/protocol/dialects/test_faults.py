"""Errors as HTTP tells them: a status each, and a body in the dialect of the route."""

from __future__ import annotations

import pytest

from protocol.dialects.fault import HttpFault, dialect_of, error_content, fault_of
from protocol.error_codes import ERRORS_BY_CODE
from protocol.errors import Overloaded, PromptTooLong, UnknownModel

NOT_400 = {
    "not_permitted": 403,
    "unknown_model": 404,
    "unknown_execution": 404,
    "unknown_entry": 404,
    "unknown_cache_entry": 404,
    "ambiguous_model": 409,
    "cache_entry_in_use": 409,
    "model_in_use": 409,
    "incomparable_executions": 409,
    "cancelled": 409,
    "download_failed": 502,
    "cache_unavailable": 503,
    "record_store_unavailable": 503,
    "record_store_unusable": 503,
    "grammar_unavailable": 503,
    "overloaded": 503,
    "shutting_down": 503,
    "slow_consumer": 503,
    "backend_unavailable": 503,
    "engine_unreachable": 503,
    "cache_full": 507,
    "disk_full": 507,
    "non_finite_result": 500,
    "internal_error": 500,
    # A connection in this process breaks the protocol by what it was asked to pass on, or by a fault of the engine's.
    "bad_frame": 400,
    "frame_too_large": 413,
    "unsupported_protocol": 500,
}


@pytest.mark.parametrize("code", sorted(ERRORS_BY_CODE))
def test_every_error_has_its_status(code: str) -> None:
    assert fault_of(ERRORS_BY_CODE[code]("so it is")).status == NOT_400.get(code, 400)


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/chat/completions", "openai"),
        ("/nowhere", "llama_server"),
        ("/v1/nowhere", "openai"),
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/api/chat", "ollama"),
        ("/v1/weos/run", "weos"),
        ("/health", "weos"),
    ],
)
def test_the_path_says_whose_dialect_it_is(path: str, dialect: str) -> None:
    assert dialect_of(path) == dialect


def test_each_dialect_tells_an_error_in_its_own_shape() -> None:
    fault = fault_of(UnknownModel("no such", field="model"))
    assert error_content("weos", fault) == {
        "error": {"code": "unknown_model", "message": "no such", "params": {"field": "model"}}
    }
    assert error_content("openai", fault) == {
        "error": {"message": "no such", "type": "not_found_error", "param": "model", "code": "unknown_model"}
    }
    assert error_content("anthropic", fault) == {
        "type": "error",
        "error": {"type": "not_found_error", "message": "no such"},
    }
    assert error_content("ollama", fault) == {"error": "no such"}


def test_a_prompt_that_is_too_long_is_told_in_the_words_that_clients_look_for() -> None:
    fault = fault_of(PromptTooLong("the prompt has 70 tokens and the context 64"))
    told = error_content("openai", fault)["error"]
    assert told["code"] == "context_length_exceeded"
    for words in ("exceeds the available context size", "context window exceeded", "70", "64"):
        assert words in told["message"]


def test_the_engines_fields_go_by_the_dialects_names() -> None:
    fault = HttpFault(400, "invalid_request", "too warm", {"field": "execution.sampling.temperature"})
    assert error_content("openai", fault)["error"]["param"] == "temperature"


def test_whoever_may_come_again_is_told_when() -> None:
    assert fault_of(Overloaded("full", retry_after_ms=1500)).retry_after_s == 2
    assert fault_of(UnknownModel("no such")).retry_after_s is None
