"""Samplers in requests and plans: what is refused, by which field, and what a plan writes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from engine import _core
from engine.artifact.choices import kv_positions
from engine.artifact.footprint import estimate
from engine.planning.sampling_rules import breaker_token_ids
from engine.text.tokenizer import Tokenizer
from protocol.codec import client_message
from protocol.errors import InvalidPlan, InvalidRequest
from protocol.sampling import SAMPLERS, LogitBias, SamplerName, Sampling
from tests.engine.plan_factory import MODEL, make_plan, make_request, refusal
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


def asked(**execution: Any) -> None:
    """Sampling from a client's message, whose fields are checked first."""
    client_message(
        {"type": "Run", "request_id": 1, "request": {"model": "tiny", "prompt": "x", "execution": execution}}
    )


def test_the_plan_writes_the_order_out() -> None:
    assert make_plan().sampling.order == SAMPLERS
    assert set(SAMPLERS) == set(get_args(SamplerName))
    plan = make_plan(make_request(sampling={"temperature": 0.5, "top_k": 4, "order": ["temperature", "top_k"]}))
    assert plan.sampling.order == ("temperature", "top_k")
    assert plan.fingerprint != make_plan(make_request(sampling={"temperature": 0.5, "top_k": 4})).fingerprint


@pytest.mark.parametrize(
    ("sampling", "field"),
    [
        ({"order": ("top_q",)}, "order.0"),
        ({"order": ("top_k", "top_k")}, "order"),
        ({"typical_p": 0.0}, "typical_p"),
        ({"xtc_threshold": 0.7}, "xtc_threshold"),
        ({"dry_breakers": ("",)}, "dry_breakers.0"),
        ({"dry_breakers": ("x",) * 65}, "dry_breakers"),
        ({"logit_bias": ({"token_id": -1, "bias": 1.0},)}, "logit_bias.0.token_id"),
        ({"logit_bias": ({"token_id": 1, "bias": 1e9},)}, "logit_bias.0.bias"),
        ({"logit_bias": ({"token_id": 1, "bias": 1.0},) * 2}, "logit_bias"),
        ({"logit_bias": tuple({"token_id": i, "bias": 1.0} for i in range(1025))}, "logit_bias"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(sampling: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(sampling=sampling)
    assert raised.value.params["field"] == f"request.execution.sampling.{field}"


@pytest.mark.parametrize(
    ("sampling", "field", "told"),
    [
        ({"temperature": 1.0, "top_k": 3, "order": ["temperature"]}, "order", "leaves top_k out"),
        ({"order": ["top_k"]}, "order", "leaves temperature out"),
        ({"dry_multiplier": 1.0, "order": ["temperature"]}, "order", "leaves dry out"),
        ({"temperature": 1.0, "mirostat_tau": 5.0, "order": ["mirostat", "temperature"]}, "order", "must be the last"),
        ({"mirostat_tau": 5.0}, "temperature", "temperature of 0"),
        ({"temperature": 1.0, "mirostat_tau": 5.0, "top_k": 40}, "top_k", "leave sampling.top_k out"),
        ({"temperature": 1.0, "mirostat_tau": 5.0, "typical_p": 0.9}, "typical_p", "leave sampling.typical_p out"),
        ({"temperature": 1.0, "mirostat_tau": 5.0, "xtc_probability": 0.5}, "xtc_probability", "sampling.xtc_prob"),
    ],
)
def test_samplers_that_cannot_work_together_are_refused(sampling: dict[str, Any], field: str, told: str) -> None:
    error = refusal(InvalidPlan, sampling=sampling)
    assert error.params["field"] == f"execution.sampling.{field}"
    assert told in error.message


def test_mirostat_may_have_penalties_beside_it() -> None:
    sampling = {"temperature": 0.8, "mirostat_tau": 5.0, "repeat_penalty": 1.1, "dry_multiplier": 0.8}
    assert make_plan(make_request(sampling=sampling)).sampling.mirostat_tau == 5.0


def test_a_bias_of_a_token_that_is_not_there_is_refused() -> None:
    bias = [{"token_id": MODEL.vocab_size - 1, "bias": 1.5}]
    assert make_plan(make_request(sampling={"logit_bias": bias})).sampling.logit_bias == (
        LogitBias(token_id=MODEL.vocab_size - 1, bias=1.5),
    )
    with pytest.raises(InvalidRequest, match="this vocabulary has ids 0 to") as raised:
        make_plan(make_request(sampling={"logit_bias": [*bias, {"token_id": MODEL.vocab_size, "bias": 1.0}]}))
    assert raised.value.params["field"] == "execution.sampling.logit_bias.1.token_id"


# --- DRY's breakers --------------------------------------------------------------------------------------------------


@pytest.fixture
def tokenizer(tiny: Path) -> Tokenizer:
    return Tokenizer(_core.GgufFile(str(tiny)))


def test_breakers_are_all_tokens_that_print_them_and_nothing_else(tokenizer: Tokenizer) -> None:
    texts = [tokenizer.vocabulary.piece(token_id) for token_id in range(len(tokenizer))]
    several = next(text.decode() for text in texts if text.isalnum())
    token_ids = breaker_token_ids(Sampling(dry_multiplier=1.0, dry_breakers=(several,)), tokenizer)
    assert token_ids == tuple(token_id for token_id, text in enumerate(texts) if text == several.encode())
    assert breaker_token_ids(Sampling(dry_breakers=(several,)), tokenizer) == ()
    assert make_plan().sampling.dry_breaker_token_ids == ()


def test_a_breaker_that_is_no_single_token_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidRequest, match="no single token") as raised:
        breaker_token_ids(Sampling(dry_multiplier=1.0, dry_breakers=("no token prints this",)), tokenizer)
    assert raised.value.params["field"] == "execution.sampling.dry_breakers.0"


# --- choices and log probabilities -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("given", "expected"), [(None, None), (False, None), (True, 0), (0, 0), (20, 20)])
def test_log_probabilities_are_asked_for_by_how_many(given: Any, expected: int | None) -> None:
    assert make_plan(make_request(logprobs=given)).logprobs == expected


@pytest.mark.parametrize(("field", "value"), [("logprobs", 21), ("logprobs", -1), ("n", 0), ("n", 257)])
def test_numbers_out_of_range_are_refused(field: str, value: int) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(**{field: value})
    assert raised.value.params["field"].startswith(f"request.execution.{field}")


def test_more_choices_than_a_batch_holds_are_refused() -> None:
    error = refusal(InvalidPlan, n=5, max_sequences=4)
    assert (error.params["field"], error.params["maximum"]) == ("execution.n", 4)
    assert make_plan(make_request(n=4, max_sequences=4)).n == 4


def test_choices_share_whole_blocks_of_the_prompt_and_have_the_rest_each() -> None:
    plan = make_plan(make_request(n=3, context_length=256), prompt_tokens=150)
    assert kv_positions(plan, 150) == 128 + 3 * 128
    assert estimate(plan, MODEL, 150).kv_cache_bytes == 1024 * (128 + 3 * 128)
    assert kv_positions(make_plan(make_request(context_length=256), prompt_tokens=150), 150) == 256
