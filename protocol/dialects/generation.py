"""What the dialects call alike: how tokens are drawn, and where an answer ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from protocol.codec import invalid_request
from protocol.dialects.shape import Asked, merged, to_json
from protocol.errors import InvalidRequest
from protocol.plan import RunRequest

_SEEDS = 2**63
"""A seed below 0 counts from here down: -1 is one seed of many, and nothing random."""


class Generation(Asked):
    """Fields that several dialects share. ``None``: the dialect's default, which is in the plan."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop: str | tuple[str, ...] | None = None
    stop_token_ids: tuple[int, ...] | None = None
    n: int | None = None
    logit_bias: dict[str, float] | None = None
    ignore_eos: bool = False
    execution: dict[str, Any] = Field(default_factory=dict)
    """Fields of the engine's own, as in a Run Request; they count before the dialect's."""
    include_execution: bool = False
    """Put the engine's own account of the execution into the answer, as ``weos``."""

    def execution_content(self, *, temperature: float, max_tokens: int) -> dict[str, Any]:
        """The fields of :class:`protocol.plan.ExecutionRequest` that the request fills in."""
        names = ("top_p", "top_k", "min_p", "typical_p", "repeat_penalty", "repeat_last_n")
        sampling = {name: getattr(self, name) for name in (*names, "presence_penalty", "frequency_penalty")}
        sampling["temperature"] = temperature if self.temperature is None else self.temperature
        sampling["seed"] = None if self.seed is None else self.seed % _SEEDS
        if self.logit_bias:
            sampling["logit_bias"] = [_bias(token, bias) for token, bias in self.logit_bias.items()]
        content: dict[str, Any] = {"sampling": present(sampling), "limits": {"max_tokens": max_tokens}}
        if self.n is not None:
            content["n"] = self.n
        stop = {"strings": _stop_strings(self.stop), "eos": not self.ignore_eos, "token_ids": self.stop_token_ids or ()}
        return content | {"stop": stop}


def present(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is ``None``."""
    return {name: value for name, value in content.items() if value is not None}


def run_request(model: str, source: Mapping[str, Any], execution: dict[str, Any], own: Mapping[str, Any]) -> RunRequest:
    """A Run Request. ``source``: the fields that hold its input; ``own``: the engine's fields that count first.

    Raises:
        InvalidRequest: a value is out of range, or ``own`` has fields that there are not.
    """
    content = {"model": model, **source, "execution": merged(execution, own)}
    try:
        return RunRequest.model_validate_json(to_json(content))
    except ValidationError as error:
        raise invalid_request(error) from error


def without_bounds(run: RunRequest) -> RunRequest:
    """The run for whoever asks of its prompt alone: the model's own context length is the only one that counts."""
    return run.model_copy(update={"execution": run.execution.model_copy(update={"context_length": None})})


def of_one_answer(run: RunRequest) -> RunRequest:
    """The request, for a route that has no place for a second answer. Raises InvalidRequest where it draws several."""
    if run.execution.n > 1:
        reason = "n: this route answers once"
        raise InvalidRequest(reason, field="n", reason=reason)
    return run


def tool_choice(choice: Any) -> Any:
    """A choice of tools as the engine has it: a word, or the name of the one that must be called.

    Raises:
        InvalidRequest: neither a word nor a function's name.
    """
    match choice:
        case None | str():
            return choice
        case {"function": {"name": str(name)}} | {"type": "function", "name": str(name)}:
            return {"name": name}
        case {"type": "tool", "name": str(name)}:
            return {"name": name}
        case {"type": "any"}:
            return "required"
        case {"type": "auto" | "none" as word}:
            return word
        case _:
            reason = "tool_choice: auto, none, required, or one function by its name"
            raise InvalidRequest(reason, field="tool_choice", reason=reason)


def json_grammar(schema: Any, field: str = "response_format") -> dict[str, str]:
    """The grammar that holds an answer to the JSON Schema in a field. Raises InvalidRequest where there is none."""
    if not isinstance(schema, dict | bool):
        raise InvalidRequest(f"{field} asks for a JSON Schema and gives none", field=field, reason="no schema")
    return {"kind": "json_schema", "source": json.dumps(schema, ensure_ascii=False)}


def _bias(token: str, bias: float) -> dict[str, float | int]:
    if not (token.isascii() and token.isdigit() and len(token) <= _LONGEST_TOKEN_ID):
        raise InvalidRequest(
            f"logit_bias: {token[:40]!r} is no token id", field="logit_bias", reason="keys are token ids"
        )
    return {"token_id": int(token), "bias": bias}


_LONGEST_TOKEN_ID = 19
"""Digits of what the engine takes for a number at all."""


def _stop_strings(stop: str | tuple[str, ...] | None) -> list[str]:
    strings = [stop] if isinstance(stop, str) else list(stop or ())
    return [one for one in strings if one]
