"""The fields that a plan takes from its request as they are."""

from __future__ import annotations

from typing import Any

from protocol.plan import ExecutionPlan, ExecutionRequest

_PASSED_ON = tuple(
    name
    for name, field in ExecutionRequest.model_fields.items()
    if name in ExecutionPlan.model_fields and ExecutionPlan.model_fields[name].annotation == field.annotation
)


def passed_on(execution: ExecutionRequest) -> dict[str, Any]:
    """The fields that a plan takes as they are: those that have one type in a request and in a plan."""
    return {name: getattr(execution, name) for name in _PASSED_ON}
