"""Filters of chat templates that make much out of little, charged before they do; all others are Jinja2's own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from string import Formatter
from typing import Any, NoReturn

from jinja2 import TemplateError, pass_context
from jinja2.filters import FILTERS as _PLAIN
from jinja2.runtime import Context

from engine.text.template_budget import BUDGET, ELEMENT_UNITS

_WIDEST_INDENT = 16
_LONGEST_SEPARATOR = 16
_LONGEST_ESCAPE = 5
"""Characters that HTML makes of one."""
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_WORD = re.compile(r"\S+")
_SLOW = 8
"""How much more a character takes where Python looks at each."""
_LARGEST_PRECISION = 300
"""Digits of a rounded number: doubles have no more before the point."""
_PERCENT = re.compile(r"%(?:\([^)]*\))?[#0\- +]*(\*|\d+)?(?:\.(\*|\d+))?")


def charge_percent(form: str, values: Any) -> None:
    """Charge what ``form % values`` may make."""
    _charge_fields(found.groups() for found in _PERCENT.finditer(form))
    held = values if isinstance(values, tuple) else (values,)
    BUDGET.get().charge_value([held] * (1 + form.count("%")))


def charge_braces(form: str, values: tuple[Any, ...]) -> None:
    """Charge what ``form.format(*values)`` may make."""
    specifications = [found or "" for _, _, found, _ in Formatter().parse(form)]
    _charge_fields(("*" if "{" in found else "", *re.findall(r"\d+", found)) for found in specifications)
    BUDGET.get().charge_value([values] * (1 + len(specifications)))


def _charge_fields(fields: Iterable[Iterable[str | None]]) -> None:
    for width in filter(None, chain.from_iterable(fields)):
        if width == "*":
            raise TemplateError("a width that is another value is not available in chat templates")
        BUDGET.get().charge(int(width[:12]))


def charge_join(separator: str, values: Iterable[Any]) -> list[Any]:
    """The values that are joined, charged."""
    items = _items(values)
    BUDGET.get().charge(len(separator) * len(items))
    BUDGET.get().charge_value(items)
    return items


def charge_split(text: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Charge the parts that ``split``, ``rsplit`` or ``splitlines`` make of a text."""
    separator = kwargs.get("sep", args[0] if args and method != "splitlines" else None)
    if isinstance(separator, str) and separator:
        parts = text.count(separator)
    elif method == "splitlines":
        parts = sum(text.count(each) for each in _LINE_ENDS)
    else:
        parts = sum(1 for _ in _WORD.finditer(text))
    BUDGET.get().charge(ELEMENT_UNITS * (parts + 1))


def _items(values: Iterable[Any]) -> list[Any]:
    """Each is charged when it is made: a text has one for each of its characters."""
    budget = BUDGET.get()
    items = []
    for value in values:
        budget.charge(ELEMENT_UNITS)
        items.append(value)
    return items


def charge_replace(text: str, old: str, new: str) -> None:
    """Charge a text in which one thing takes the place of another."""
    BUDGET.get().charge(len(text) + text.count(old) * len(new))


@pass_context
def _charged(_: Context, value: Any) -> Any:
    BUDGET.get().charge_value(value)
    return value


@pass_context
def _iterated(_: Context, values: Iterable[Any]) -> Iterator[Any]:
    budget = BUDGET.get()
    for value in values:
        budget.charge(0)
        yield value


@pass_context
def _concatenated(_: Context, values: list[Any]) -> str:
    BUDGET.get().charge_value(values)
    return "".join(map(str, values))


@pass_context
def _join(context: Context, values: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        values = context.environment.call_filter("map", values, kwargs={"attribute": attribute}, context=context)
    return str(d).join(map(str, charge_join(str(d), values)))


@pass_context
def _replace(_: Context, s: Any, old: str, new: str, count: int | None = None) -> str:
    charge_replace(str(s), str(old), str(new))
    return str(s).replace(str(old), str(new), -1 if count is None else count)


@pass_context
def _center(_: Context, value: Any, width: int = 80) -> str:
    BUDGET.get().charge(max(width, 0))
    return str(value).center(width)


@pass_context
def _indent(_: Context, s: Any, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    indention = len(width) if isinstance(width, str) else max(width, 0)
    BUDGET.get().charge(indention * (2 + len(str(s).splitlines())))
    return _PLAIN["indent"](s, width, first, blank)


@pass_context
def _format(_: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    charge_percent(str(value), args or tuple(kwargs.values()))
    return _PLAIN["format"](value, *args, **kwargs)


@pass_context
def _batch(_: Context, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Any:
    BUDGET.get().charge(linecount)
    return _PLAIN["batch"](value, linecount, fill_with)


@pass_context
def _slice(_: Context, value: Iterable[Any], slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
    items = charge_join("", value)
    BUDGET.get().charge(slices)
    size, longer = divmod(len(items), slices)
    begin = 0
    for number in range(slices):
        end = begin + size + (number < longer)
        filled = [fill_with] if fill_with is not None and number >= longer else []
        yield items[begin:end] + filled
        begin = end


@pass_context
def _round(_: Context, value: float, precision: int = 0, method: str = "common") -> float:
    if abs(precision) > _LARGEST_PRECISION:
        raise TemplateError(f"round takes at most {_LARGEST_PRECISION} digits")
    return _PLAIN["round"](value, precision, method)  # type: ignore[no-any-return]


@pass_context
def _sum(context: Context, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    if attribute is not None:
        iterable = context.environment.call_filter("map", iterable, kwargs={"attribute": attribute}, context=context)
    budget = BUDGET.get()
    for item in iterable:
        start = start + item
        budget.charge_value(start)
    return start


@pass_context
def _pprint(_: Context, value: Any) -> Any:
    BUDGET.get().charge_value([value] * _SLOW)
    return _PLAIN["pprint"](value)


@pass_context
def _urlencode(_: Context, value: Any) -> Any:
    BUDGET.get().charge_value([value] * _SLOW)
    return _PLAIN["urlencode"](value)


@pass_context
def _striptags(_: Context, value: Any) -> Any:
    text = str(value)
    BUDGET.get().charge(len(text) * (1 + text.count("<") // 16))  # the text is copied for each tag
    return _PLAIN["striptags"](value)


@pass_context
def _urlize(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    BUDGET.get().charge(len(str(value)) ** 2 // 64)  # its expressions may look at each character for each
    return _PLAIN["urlize"](context.eval_ctx, str(value), *args, **kwargs)


@pass_context
def _wordwrap(
    context: Context,
    s: Any,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> Any:
    BUDGET.get().charge(len(str(s)) * (8 + len(wrapstring or "")))
    return _PLAIN["wordwrap"](context.environment, str(s), width, break_long_words, wrapstring, break_on_hyphens)


@pass_context
def _to_json(
    _: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    if indent is not None and not 0 <= (len(indent) if isinstance(indent, str) else indent) <= _WIDEST_INDENT:
        raise TemplateError(f"tojson can indent by 0 to {_WIDEST_INDENT}")
    if separators is not None and any(len(each) > _LONGEST_SEPARATOR for each in separators):
        raise TemplateError(f"tojson takes separators of at most {_LONGEST_SEPARATOR} characters")
    budget = BUDGET.get()
    budget.charge_value(value)
    # Piece by piece, each charged: escapes, separators and indents make more text than there was.
    encoder = json.JSONEncoder(ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    pieces: list[str] = []
    for piece in encoder.iterencode(value):
        budget.charge(len(piece))
        pieces.append(piece)
    return "".join(pieces)


@pass_context
def _list(_: Context, value: Iterable[Any]) -> list[Any]:
    return _items(value)


@pass_context
def _sort(context: Context, value: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
    in_order: list[Any] = _PLAIN["sort"](context.environment, _items(value), *args, **kwargs)
    return in_order


@pass_context
def _escape(_: Context, value: Any) -> Any:
    BUDGET.get().charge(_LONGEST_ESCAPE * len(str(value)))
    return _PLAIN["escape"](value)


@pass_context
def _random(_: Context, *__: Any) -> NoReturn:
    raise TemplateError("random is not available in chat templates: the same request gives the same text")


FILTERS: Mapping[str, Callable[..., Any]] = {
    **_PLAIN,
    "batch": _batch,
    "center": _center,
    "charged": _charged,
    "concatenated": _concatenated,
    "e": _escape,
    "escape": _escape,
    "format": _format,
    "indent": _indent,
    "iterated": _iterated,
    "join": _join,
    "list": _list,
    "pprint": _pprint,
    "random": _random,
    "replace": _replace,
    "round": _round,
    "slice": _slice,
    "sort": _sort,
    "striptags": _striptags,
    "sum": _sum,
    "tojson": _to_json,
    "urlencode": _urlencode,
    "urlize": _urlize,
    "wordwrap": _wordwrap,
}
"""All of Jinja2's by name, and three that a rewritten template is charged by."""
