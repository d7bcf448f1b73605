"""What operations of chat templates may make, charged before they do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from string import Formatter
from typing import Any

from jinja2 import TemplateError

from engine.text.template_budget import BUDGET, ELEMENT_UNITS

_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_SEARCHED_AT_ONCE = 16
"""Characters that are compared in the time of one unit."""
_WORD = re.compile(r"\S+")
_PERCENT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")


def charge_percent(form: str, values: Any) -> None:
    """Charge what ``form % values`` may make."""
    _charge_fields(found.groups() for found in _PERCENT.finditer(form))
    held = values if isinstance(values, tuple) else (values,)
    BUDGET.get().charge_value([held] * (1 + form.count("%")))


def charge_braces(form: str, values: tuple[Any, ...]) -> None:
    """Charge what ``form.format(*values)`` may make. A field takes a whole value, or a part that is charged with it."""
    fields = list(Formatter().parse(form))
    if any("." in (name or "") for _, name, _, _ in fields):
        raise TemplateError("a format that takes attributes is not available in chat templates")
    specifications = [found or "" for _, _, found, _ in fields]
    _charge_fields(("*" if "{" in found else "", *re.findall(r"\d+", found)) for found in specifications)
    BUDGET.get().charge_value([values] * (1 + len(specifications)))


def _charge_fields(fields: Iterable[Iterable[str | None]]) -> None:
    for width in filter(None, chain.from_iterable(fields)):
        if width == "*":
            raise TemplateError("a width that is another value is not available in chat templates")
        BUDGET.get().charge(int(width[:12]))


def charge_join(separator: str, values: Iterable[Any]) -> list[Any]:
    """The values that are joined, charged."""
    items = charge_items(values)
    BUDGET.get().charge(len(separator) * len(items))
    BUDGET.get().charge_value(items)
    return items


def charge_split(text: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Charge the parts that ``split``, ``rsplit`` or ``splitlines`` make of a text."""
    separator = kwargs.get("sep", args[0] if args and method != "splitlines" else None)
    if isinstance(separator, str) and separator:
        parts = text.count(separator)
    elif method == "splitlines":
        parts = count_lines(text)
    else:
        parts = count_matches(_WORD, text)
    BUDGET.get().charge(ELEMENT_UNITS * (parts + 1))


def count_matches(found: re.Pattern[str], text: str) -> int:
    """How often it is found, without a list of what was."""
    return sum(1 for _ in found.finditer(text))


def count_lines(text: str) -> int:
    """How many lines ``splitlines`` would make at most."""
    return 1 + sum(map(text.count, _LINE_ENDS))


def charge_items(values: Iterable[Any]) -> list[Any]:
    """A list of them. Each is charged when it is made, with its text: a text has one for each of its characters."""
    budget = BUDGET.get()
    items = []
    for value in values:
        budget.charge(ELEMENT_UNITS + (len(value) if isinstance(value, str) else 0))
        items.append(value)
    return items


def charge_search(text: str, wanted: object) -> None:
    """Charge a search from the end, or for any of several characters: it may look at all that is wanted at each place
    of the text."""
    if isinstance(wanted, str):
        BUDGET.get().charge(len(text) * (1 + len(wanted) // _SEARCHED_AT_ONCE))


def charge_replace(text: str, old: str, new: str) -> None:
    """Charge a text in which one thing takes the place of another."""
    BUDGET.get().charge(len(text) + text.count(old) * len(new))
