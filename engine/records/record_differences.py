"""In what two executions differ before they have run: plan, request, hardware, engine. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from pydantic import BaseModel

from protocol.comparison import BuildAgreement, Difference
from protocol.errors import IncomparableExecutions, InvalidRequest
from protocol.plan import ExecutionPlan
from protocol.record import ExecutionRecord
from protocol.speculation import PlanSpeculation

_WHERE_FOUND = tuple(f"{ref}.{field}" for ref in ("model_ref", "speculation.model") for field in ("name", "path"))
"""No part of the decision: the content hash says which model it is."""
_NOT_USED = {"cpu_features", "masked_cpu_features"}
"""What the kernels might have been: ``hardware.kernel_path`` says which they were."""
_FIXED = ("schema_version", "model_ref")
"""What no variant may change: another schema of plans, or another model."""
_CONSEQUENCES = {
    "quantization": ("requantized_from", "speculation.draft_cost"),
    "backend": ("hardware.kernel_path", "speculation.row_cost", "speculation.draft_cost"),
    "threads": ("hardware.threads",),
    "speculation.kind": tuple(f"speculation.{name}" for name in PlanSpeculation.model_fields),
    "speculation.model": ("speculation.draft_cost",),
    "speculation.quantization": ("speculation.draft_cost",),
    "sampling.dry_multiplier": ("sampling.dry_breaker_token_ids",),
    "sampling.dry_breakers": ("sampling.dry_breaker_token_ids",),
    "stop.eos": ("stop.eos_token_ids",),
    "stop.strings": ("stop.string_token_ids",),
}
"""Fields that another one settles: to name that one is to name them."""


def differences(a: ExecutionRecord, b: ExecutionRecord) -> tuple[Difference, ...]:
    """Everything but results: the plan's fields in order, then prompt, hardware, engine version and arithmetic."""
    found = [*plan_differences(a.plan, b.plan)]
    if a.prompt_token_ids != b.prompt_token_ids:
        parting = first_difference(a.prompt_token_ids, b.prompt_token_ids)
        found.append(
            Difference(
                field="prompt_token_ids", a=_prompt(a.prompt_token_ids, parting), b=_prompt(b.prompt_token_ids, parting)
            )
        )
    found += _differing(_hardware_fields(a), _hardware_fields(b))
    found += _differing({"engine_version": a.engine_version}, {"engine_version": b.engine_version})
    if compare_builds(a, b).arithmetic is False:
        found += _differing({"build.arithmetic": _arithmetic(a)}, {"build.arithmetic": _arithmetic(b)})
    return tuple(found)


def plan_differences(a: ExecutionPlan, b: ExecutionPlan) -> tuple[Difference, ...]:
    """The fields in which two plans decide otherwise, in order; where the model was found is none of them."""
    return tuple(_differing(_plan_fields(a), _plan_fields(b)))


def compare_builds(a: ExecutionRecord, b: ExecutionRecord) -> BuildAgreement:
    """What is known of two records' builds; nothing where one is from before builds were told apart."""
    if a.build is None or b.build is None:
        untold = " and ".join(record.execution_id for record in (a, b) if record.build is None)
        return BuildAgreement(reason=f"not known of {untold}, recorded before builds were told apart")
    pairs = zip(a.build, b.build, strict=True)
    differing = [f"{name} {left} and {right}" for (name, left), (_, right) in pairs if left != right]
    known = a.build.arithmetic is not None and b.build.arithmetic is not None
    return BuildAgreement(
        same=a.build.id == b.build.id,
        arithmetic=a.build.arithmetic == b.build.arithmetic if known else None,
        reason="; ".join(differing) or a.build.reason,
    )


def _arithmetic(record: ExecutionRecord) -> str | None:
    return None if record.build is None else record.build.arithmetic


def require_same(found: tuple[Difference, ...], allowed: tuple[str, ...] = ()) -> None:
    """Refuse differences in any field that is not allowed and does not follow from one that is.

    Raises:
        IncomparableExecutions: ``params["differences"]`` names each, with both values.
    """
    refused = [difference for difference in found if not _is_allowed(difference.field, allowed)]
    if refused:
        told = "; ".join(f"{one.field}: {one.a!r} and {one.b!r}" for one in refused)
        raise IncomparableExecutions(
            f"the executions differ in {told}", differences=[one.model_dump() for one in refused]
        )


def require_variable(fields: tuple[str, ...]) -> None:
    """Refuse what is no field of the plan, or one that no variant may change. Raises InvalidRequest."""
    for field in fields:
        if _within(field, _FIXED):
            raise InvalidRequest(f"a variant has the same {field.partition('.')[0]}", field=field)
        if field not in _names(ExecutionPlan):
            allowed = [name for name in _names(ExecutionPlan) if not _within(name, _FIXED)]
            raise InvalidRequest(f"the plan has no field {field!r}", field=field, allowed=allowed)


def first_difference(a: tuple[int, ...] | str, b: tuple[int, ...] | str) -> int | None:
    """Index of the first item that one has and the other has not."""
    return next((i for i, (left, right) in enumerate(zip_longest(a, b)) if left != right), None)


def _is_allowed(field: str, allowed: tuple[str, ...]) -> bool:
    following = (name for cause, names in _CONSEQUENCES.items() if _within(cause, allowed) for name in names)
    return _within(field, (*allowed, *following))


def _within(field: str, fields: tuple[str, ...]) -> bool:
    return any(field == one or field.startswith(f"{one}.") for one in fields)


def _plan_fields(plan: ExecutionPlan) -> dict[str, Any]:
    fields = dict(_flat(plan.model_dump(mode="json")))
    return {name: value for name, value in fields.items() if name not in _WHERE_FOUND}


def _hardware_fields(record: ExecutionRecord) -> dict[str, Any]:
    fields = record.hardware.model_dump(mode="json", exclude=_NOT_USED)
    return {f"hardware.{name}": value for name, value in fields.items()}


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _names(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Every dotted field, groups of fields included."""
    found: list[str] = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _names(field.annotation, f"{prefix}{name}.")
    return tuple(found)


def _differing(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Difference]:
    for name in [*a, *(name for name in b if name not in a)]:
        if a.get(name) != b.get(name):
            yield Difference(field=name, a=a.get(name), b=b.get(name))


def _prompt(token_ids: tuple[int, ...], parting: int | None) -> str:
    return f"{len(token_ids)} tokens, the same up to index {parting}"
