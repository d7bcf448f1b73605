"""``/completion``: prompts continued, in llama-server's own shape.

Defaults: temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, seed 0, 2,048 tokens at most, the prefix cache on. Each
prompt of a list is an execution of its own. Text in prompts and biases is tokenized by the engine first, where what
spells a control token is one: :func:`texts_in`, then :func:`resolved`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from protocol.dialects.generation import Generation, present, run_request
from protocol.dialects.llama_server.settings import BANNED, sampler_order
from protocol.dialects.openai.chat import grammar_of
from protocol.dialects.prompt_parts import IdsOfTexts, UntokenizedText, read_prompts, texts_of, token_ids_of
from protocol.errors import InvalidRequest
from protocol.plan import RunRequest

DEFAULT_TEMPERATURE = 0.8
DEFAULT_MAX_TOKENS = 2048
DEFAULT_SAMPLING = {"top_k": 40, "top_p": 0.95, "min_p": 0.05}
_OWN_SAMPLING = ("dry_multiplier", "dry_base", "dry_allowed_length", "xtc_probability", "xtc_threshold", "mirostat_eta")


class LlamaCompletionRequest(Generation):
    """The body of ``/completion``, its texts tokenized."""

    model: str | None = None
    prompt: tuple[tuple[int, ...], ...]
    n_predict: int | None = None
    max_tokens: int | None = None
    n_cmpl: int | None = None
    n_probs: int = 0
    post_sampling_probs: bool = False
    return_tokens: bool = False
    cache_prompt: bool = True
    stream: bool = False
    response_fields: tuple[str, ...] = ()
    json_schema: dict[str, Any] | bool | None = None
    grammar: str | None = None
    samplers: tuple[str, ...] | None = None
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
    mirostat: int = Field(default=0, ge=0, le=2)
    mirostat_tau: float = 5.0
    mirostat_eta: float | None = None


def texts_in(content: Mapping[str, Any]) -> tuple[UntokenizedText, ...]:
    """The texts of a body whose token ids are needed. Raises InvalidRequest."""
    biased = (UntokenizedText(token, False) for token, _ in _biases(content) if _token_id(token) is None)
    return tuple(dict.fromkeys((*texts_of(read_prompts(content.get("prompt"), "prompt")), *biased)))


def resolved(content: Mapping[str, Any], ids: IdsOfTexts, ends: Sequence[int]) -> dict[str, Any]:
    """The body with token ids in place of its texts. ``ends``: end tokens, which ``ignore_eos`` keeps from being drawn.

    Raises:
        InvalidRequest: a bias is no number.
    """
    biases: dict[str, float] = {}
    for token, bias in _biases(content):
        token_id = _token_id(token)
        for one in ids[UntokenizedText(token, False)] if token_id is None else (token_id,):
            biases[str(one)] = bias
    biases |= {str(end): BANNED for end in ends} if content.get("ignore_eos") is True else {}
    prompts = [token_ids_of(parts, ids) for parts in read_prompts(content.get("prompt"), "prompt")]
    return {**content, "prompt": prompts, "logit_bias": biases}


def _biases(content: Mapping[str, Any]) -> list[tuple[Any, float]]:
    """Tokens or texts with their biases, from pairs or from an object. ``false`` forbids."""
    given = content.get("logit_bias") or []
    pairs = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise _no_bias("give pairs of a token and a number")
    told = []
    for token, bias in pairs:
        if not isinstance(token, str | int) or not isinstance(bias, int | float) or bias is True:
            raise _no_bias("give a token id or a text, and a number or false")
        told.append((token, BANNED if bias is False else float(bias)))
    return told


def _no_bias(reason: str) -> InvalidRequest:
    return InvalidRequest(f"logit_bias: {reason}", field="logit_bias", reason=reason)


def _token_id(token: str | int) -> int | None:
    """The id that a bias names, also in digits; ``None``: it is a text."""
    if isinstance(token, int):
        return token
    return int(token) if token.isascii() and token.isdigit() and len(token) < 20 else None


def to_run_requests(asked: LlamaCompletionRequest, model: str) -> tuple[RunRequest, ...]:
    """One for each prompt. Raises InvalidRequest."""
    if asked.post_sampling_probs and asked.n_probs:
        reason = "post_sampling_probs: probabilities here are the model's own, before any sampler"
        raise InvalidRequest(reason, field="post_sampling_probs", reason=reason)
    limit = asked.max_tokens if asked.n_predict is None else asked.n_predict
    execution = asked.execution_content(
        temperature=DEFAULT_TEMPERATURE, max_tokens=DEFAULT_MAX_TOKENS if limit is None or limit < 0 else limit
    )
    execution["sampling"] = {**DEFAULT_SAMPLING, **execution["sampling"], **_own_sampling(asked)}
    execution["prefix_cache"] = "on" if asked.cache_prompt else "off"
    if asked.n is None and asked.n_cmpl is not None:
        execution["n"] = asked.n_cmpl
    if asked.n_probs:
        execution["logprobs"] = asked.n_probs
    if (grammar := grammar_of(None, asked.json_schema, asked.grammar)) is not None:
        execution["grammar"] = grammar
    return tuple(run_request(model, _source(prompt), execution, asked.execution) for prompt in asked.prompt)


def _source(prompt: tuple[int, ...]) -> dict[str, Any]:
    """An empty text has no tokens in some vocabularies: the engine knows what begins one."""
    return {"prompt_token_ids": prompt} if prompt else {"prompt": ""}


def _own_sampling(asked: LlamaCompletionRequest) -> dict[str, Any]:
    sampling = present({name: getattr(asked, name) for name in _OWN_SAMPLING})
    if asked.dry_penalty_last_n is not None and asked.dry_penalty_last_n > 0:
        sampling["dry_last_n"] = asked.dry_penalty_last_n
    if asked.dry_sequence_breakers is not None:
        sampling["dry_breakers"] = asked.dry_sequence_breakers
    if asked.mirostat == 1:
        raise InvalidRequest("mirostat: there is version 2 alone", field="mirostat", reason="not supported")
    if asked.mirostat:
        sampling["mirostat_tau"] = asked.mirostat_tau
    if asked.samplers is not None:
        sampling["order"] = sampler_order(asked.samplers)
    return sampling
