"""What can be varied in a plan, for agents that know nothing else of this engine: a table, and its form in the schema.

The published schema of plans has an ``x-search`` at every field: where a request sets it, what a change of it changes,
what a first try of another value costs, and its values or range. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import BaseModel, TypeAdapter

from protocol.plan import ExecutionPlan, ExecutionRequest
from protocol.value import Value

ANNOTATION: Final = "x-search"

Effect = Literal["speed", "bits", "answer", "order", "limit", "account", "fixed"]
EFFECTS: Final[dict[Effect, str]] = {
    "speed": "the same tokens and the same bits of every logit; time, energy and memory change",
    "bits": "other logits, so that the answer may differ and its quality must be judged",
    "answer": "the same logits; other or more tokens, or an answer read in another way",
    "order": "which of several executions goes first",
    "limit": "may end the execution early, slow it down or have it refused",
    "account": "what is measured or recorded",
    "fixed": "no option: it follows from others",
}
"""What another value of a field changes."""
Cost = Literal["none", "load", "quantize"]
COSTS: Final[dict[Cost, str]] = {
    "none": "nothing beside the execution itself",
    "load": "the weights are read into memory again: seconds",
    "quantize": "weights are made in other types, then read: up to minutes, once; they are kept on disk",
}
"""What the first execution with another value costs."""


class PlanField(Value):
    """What a change of one field of a plan means."""

    effect: Effect
    cost: Cost = "none"
    request_field: str | None = None
    """Where a request sets it, dotted; ``None``: nowhere."""
    scale: Literal["linear", "log"] | None = None
    """How to step through a range of numbers; ``None``: no range of numbers worth a search."""
    maximum_is_default: bool = False
    """The plan of a request that leaves the field out has the most that this machine allows."""
    capability: str | None = None
    """Only such values can be had here as ``Welcome.capabilities`` names, as ``CAPABILITY:VALUE``."""
    depends_on_traffic: bool | None = None
    """What it changes shows beside or behind other executions: an experiment that repeats inputs, one execution at a
    time, tells nothing of it, or too much."""
    values: tuple[str, ...] | None = None
    """Those that can be tried by themselves, where others need another field set too; ``None``: all that there are."""
    note: str | None = None


def _set(name: str, effect: Effect, **more: Any) -> PlanField:
    return PlanField(effect=effect, request_field=f"execution.{name}", **more)


def _fixed(note: str) -> PlanField:
    return PlanField(effect="fixed", note=note)


_ANSWER_GROUPS: Final = ("sampling",)
"""Groups whose fields all say how tokens are drawn, under the same names in a request."""
_FIELDS: Final[dict[str, PlanField]] = {
    "schema_version": _fixed("which fields a plan has"),
    "model_ref": PlanField(effect="fixed", request_field="model", note="a search compares plans of one model"),
    "backend": _set("backend", "speed", cost="load", capability="backend"),
    "quantization": _set("quantization", "bits", cost="quantize", capability="quantization"),
    "requantized_from": _fixed("follows from the model and quantization"),
    "kv_cache": _set("kv_cache", "bits", capability="kv_cache"),
    "threads": _set("threads", "speed", scale="linear", maximum_is_default=True),
    "spin_us": _set("spin_us", "speed", scale="log"),
    "batch.max_sequences": _set("max_sequences", "speed", scale="log", depends_on_traffic=True),
    "batch.prefill_chunk": _set("prefill_chunk", "speed", scale="log"),
    "batch.prefill_beside_decode": _set("prefill_beside_decode", "speed", scale="log", depends_on_traffic=True),
    "batch.context_length": _set(
        "context_length",
        "limit",
        note="memory; where a model has angles of its own for long contexts, also the bits beyond its original context",
    ),
    "prefix_cache": _set("prefix_cache", "speed", depends_on_traffic=True),
    "scheduler_policy": _set("scheduler_policy", "order"),
    "priority": _set("priority", "order", scale="linear"),
    "nominal_watts": _set("nominal_watts", "order", scale="log"),
    "prompt_format": _set("chat_template", "answer", note="decided with messages alone"),
    "message_control_tokens": _set("message_control_tokens", "answer"),
    "tools": PlanField(effect="answer", request_field="tools"),
    "reasoning": _set("reasoning", "answer"),
    "spelled_tokens": _fixed("follows from tools and reasoning"),
    "logprobs": _set("logprobs", "account"),
    "n": _set("n", "answer"),
    "speculation.kind": _set(
        "speculation.kind",
        "speed",
        capability="speculation",
        values=("off", "lookup"),
        note="draft needs speculation.model too, self speculation.quantization",
    ),
    "speculation.model": _set(
        "speculation.model", "speed", cost="load", note="null but where speculation.kind is draft"
    ),
    "speculation.quantization": _set(
        "speculation.quantization", "speed", cost="quantize", note="null where no model guesses"
    ),
    "speculation.draft_cost": _set("speculation.draft_cost", "speed", note="null where no model guesses"),
    "speculation.max_rows": _set("speculation.max_rows", "speed", note="1 where speculation.kind is off"),
    "speculation.row_cost": _set("speculation.row_cost", "speed", note="null where speculation.kind is off"),
    "grammar": _set("grammar", "answer"),
    "limits.max_tokens": _set("limits.max_tokens", "answer"),
    "limits.max_watts": _set("limits.max_watts", "limit"),
    "limits.on_max_watts": _set("limits.on_max_watts", "limit"),
    "limits.watt_window_ms": _set("limits.watt_window_ms", "limit", scale="log"),
    "limits.max_joules": _set("limits.max_joules", "limit"),
    "limits.energy_sample_ms": _set("limits.energy_sample_ms", "limit", scale="log"),
    "limits.deadline_ms": _set("limits.deadline_ms", "limit"),
    "limits.memory_mb": _set("limits.memory_mb", "limit"),
    "stop.eos": _set("stop.eos", "answer"),
    "stop.strings": _set("stop.strings", "answer"),
    "stop.token_ids": _set("stop.token_ids", "answer"),
    "stop.eos_token_ids": _fixed("follows from the model and stop.eos"),
    "stop.string_token_ids": _fixed("follows from the model and stop.strings"),
    "energy_source": _set("energy_source", "account", capability="energy_source"),
    "stream.flush_ms": _set("stream.flush_ms", "speed", scale="log", note="how soon a token reaches its client"),
    "op_times": _set("op_times", "account", note="costs some reads of the clock"),
    "token_times": _set("token_times", "account"),
    "sampling.dry_breaker_token_ids": _fixed("follows from the model and sampling.dry_breakers"),
}


def plan_field(name: str) -> PlanField:
    """The field of this dotted name. Raises KeyError."""
    if name not in _FIELDS and name.partition(".")[0] in _ANSWER_GROUPS:
        return _set(name, "answer")
    return _FIELDS[name]


def annotated(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of plans, with an ``x-search`` at every field that decides by itself."""
    asked = TypeAdapter(ExecutionRequest).json_schema()
    for name, node in _properties(schema, schema, ExecutionPlan):
        field = plan_field(name)
        unsaid = None if field.maximum_is_default else {"maximum_is_default"}
        told = field.model_dump(mode="json", exclude_none=True, exclude=unsaid)
        node[ANNOTATION] = told | _choices(name, field, node, asked)
    return {**schema, ANNOTATION: {"effect": EFFECTS, "cost": COSTS}}


def _properties(
    root: dict[str, Any], group: dict[str, Any], model: type[BaseModel], prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in model.model_fields.items():
        node, inner = group["properties"][name], field.annotation
        if prefix + name in _FIELDS or not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            yield prefix + name, node
        else:
            yield from _properties(root, _followed(node, root), inner, f"{prefix}{name}.")


def _choices(name: str, field: PlanField, node: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """The values of a field that has few, the same in a request and a plan, or the range of one that has a scale."""
    if field.request_field is None or field.values is not None:
        return {}
    if "enum" in node and field.request_field == f"execution.{name}":
        return {"values": node["enum"]}
    if field.scale is None:
        return {}
    found = asked
    for part in field.request_field.split(".")[1:]:
        found = _followed(found["properties"][part], asked)
    numbers = next(one for one in found.get("anyOf", [found]) if one.get("type") in ("integer", "number"))
    lower = {"minimum": "minimum", "exclusiveMinimum": "above"}
    bounds = {lower.get(name, name): numbers[name] for name in (*lower, "maximum") if name in numbers}
    if field.maximum_is_default:
        del bounds["maximum"]
    return bounds


def _followed(node: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    reference: str | None = node.get("$ref")
    followed: dict[str, Any] = node if reference is None else root["$defs"][reference.rpartition("/")[2]]
    return followed
