"""Filters of chat templates that look at value after value: each that passes is charged, and the time looked at.

Jinja2's own loops neither ask the budget nor look at the clock, however long they go on and whatever they keep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import pass_context
from jinja2.filters import FILTERS as _PLAIN
from jinja2.runtime import Context

from engine.text.template_budget import BUDGET

MAPPING = ("map", "reject", "rejectattr", "select", "selectattr")
"""Those that give what came to them, or what a filter makes of it: that filter, or test, is charged where it is called
(:meth:`BudgetedEnvironment.call_filter`)."""
COMPARING = ("max", "min", "unique")
"""Those that hold values against each other, in lower case, and may keep what they made for it."""


def passed(values: Any) -> Any:
    """The values as they are asked for, each charged by the length of its text."""
    return _charged_texts(values) if values else values  # what is empty, or undefined, has a way of its own


def compared(values: Iterable[Any]) -> Iterator[Any]:
    """The values as they are asked for, each charged by all that it holds."""
    budget = BUDGET.get()
    for value in values:
        budget.charge_value(value)
        yield value


def _charged_texts(values: Iterable[Any]) -> Iterator[Any]:
    budget = BUDGET.get()
    for value in values:
        budget.charge(len(value) if isinstance(value, str) else 0)
        yield value


def _mapping(name: str) -> Callable[..., Any]:
    @pass_context
    def passing(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        return _PLAIN[name](context, passed(value), *args, **kwargs)

    return passing


def _comparing(name: str) -> Callable[..., Any]:
    @pass_context
    def passing(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        return _PLAIN[name](context.environment, compared(value), *args, **kwargs)

    return passing


PASSING: dict[str, Callable[..., Any]] = {name: _mapping(name) for name in MAPPING} | {
    name: _comparing(name) for name in COMPARING
}
"""Filters that pass values on, by their names."""
