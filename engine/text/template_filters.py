"""Filters of chat templates: those that make much out of little are charged before they do, the others are Jinja2's.

All are listed, so that one which a later Jinja2 adds is not there before somebody has looked at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Reversible
from typing import Any, NoReturn

from jinja2 import TemplateError, pass_context
from jinja2.filters import FILTERS as _PLAIN
from jinja2.runtime import Context

from engine.text.template_budget import BUDGET, ELEMENT_UNITS
from engine.text.template_charges import (
    charge_items,
    charge_join,
    charge_percent,
    charge_replace,
    charge_search,
    charge_split,
    count_lines,
    count_matches,
)
from engine.text.template_passing import PASSING, compared, passed

_WIDEST_INDENT = 16
_LONGEST_SEPARATOR = 16
_LONGEST_ESCAPE = 5
"""Characters that HTML makes of one."""
_COUNTED_WORD = re.compile(r"\w+")
_TITLE_GAP = re.compile(r"[-\s({\[<]+")
_SLOW = 8
"""How much more a character takes where Python looks at each."""
_LARGEST_PRECISION = 300
"""Digits of a rounded number: doubles have no more before the point."""


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
    indention, text = len(width) if isinstance(width, str) else max(width, 0), str(s)
    BUDGET.get().charge((ELEMENT_UNITS + indention) * (1 + count_lines(text)))
    return _PLAIN["indent"](s, width, first, blank)


@pass_context
def _format(_: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    charge_percent(str(value), args or tuple(kwargs.values()))
    return _PLAIN["format"](value, *args, **kwargs)


@pass_context
def _batch(_: Context, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Any:
    BUDGET.get().charge(linecount)
    return _PLAIN["batch"](passed(value), linecount, fill_with)


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
    BUDGET.get().charge_value([value] * _SLOW * (1 + _depth(value)))  # each level is printed within every one around it
    return _PLAIN["pprint"](value)


def _depth(value: Any) -> int:
    """Levels of lists and mappings, one within the other."""
    level, depth = [value], 0
    while level := [part for each in level for part in _parts(each)]:
        BUDGET.get().charge(_SLOW * len(level))
        depth += 1
    return depth


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


@pass_context
def _urlencode(_: Context, value: Any) -> Any:
    BUDGET.get().charge_value([value] * _SLOW)
    return _PLAIN["urlencode"](value)


@pass_context
def _striptags(_: Context, value: Any) -> Any:
    text = str(value)
    budget = BUDGET.get()
    budget.charge(len(text) * (1 + text.count("<") // 16))  # the text is copied for each tag
    charge_split(text, "split", (), {})
    return _PLAIN["striptags"](value)


@pass_context
def _urlize(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
    text, told = str(value), [str(each) for each in (*args, *kwargs.values())]
    # Its expressions may look at each character for each, and each address repeats what it is told.
    BUDGET.get().charge(len(text) * (len(text) // 64 + sum(map(len, told))))
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
    BUDGET.get().charge(len(str(s)) * (ELEMENT_UNITS + len(wrapstring or "")))  # a line may be one character
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
    return charge_items(value)


@pass_context
def _sort(context: Context, value: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
    in_order: list[Any] = _PLAIN["sort"](context.environment, charge_items(compared(value)), *args, **kwargs)
    return in_order


@pass_context
def _escape(_: Context, value: Any) -> Any:
    BUDGET.get().charge(_LONGEST_ESCAPE * len(str(value)))
    return _PLAIN["escape"](value)


@pass_context
def _force_escape(_: Context, value: Any) -> Any:
    BUDGET.get().charge(_LONGEST_ESCAPE * len(str(value)))
    return _PLAIN["forceescape"](value)


@pass_context
def _xml_attributes(context: Context, d: Mapping[str, Any], autospace: bool = True) -> Any:
    BUDGET.get().charge_value([d] * _LONGEST_ESCAPE)
    return _PLAIN["xmlattr"](context.eval_ctx, d, autospace)


@pass_context
def _reversed(_: Context, value: Any) -> Any:
    return _PLAIN["reverse"](value if isinstance(value, Reversible) else charge_items(value))


@pass_context
def _group(context: Context, value: Iterable[Any], *args: Any, **kwargs: Any) -> Any:
    items = charge_items(compared(value))
    BUDGET.get().charge(ELEMENT_UNITS * 2 * len(items))  # each may be a group of its own
    BUDGET.get().charge_value([*args[1:], *kwargs.values()] * len(items))  # what stands for an attribute is in each
    return _PLAIN["groupby"](context.environment, items, *args, **kwargs)


@pass_context
def _sort_mapping(_: Context, value: Mapping[Any, Any], *args: Any, **kwargs: Any) -> Any:
    BUDGET.get().charge_value(value)
    return _PLAIN["dictsort"](value, *args, **kwargs)


@pass_context
def _title(_: Context, value: Any) -> Any:
    text = str(value)
    BUDGET.get().charge(ELEMENT_UNITS * 2 * (1 + count_matches(_TITLE_GAP, text)))
    return _PLAIN["title"](value)


@pass_context
def _count_words(_: Context, value: Any) -> Any:
    BUDGET.get().charge(ELEMENT_UNITS * count_matches(_COUNTED_WORD, str(value)))
    return _PLAIN["wordcount"](value)


@pass_context
def _random(_: Context, *__: Any) -> NoReturn:
    raise TemplateError("random is not available in chat templates: the same request gives the same text")


@pass_context
def _trim(_: Context, value: Any, chars: str | None = None) -> str:
    text = str(value)
    charge_search(text, chars)
    return text.strip(chars)


SMALL = (
    *("abs", "attr", "capitalize", "count", "d", "default", "filesizeformat", "first", "float", "int", "items", "last"),
    *("length", "lower", "safe", "string", "truncate", "upper"),
)
"""Filters of Jinja2 that look at one value, and give a part of it, a number, or its text with at most three characters
for each: they make no more than a few times what was charged already. ``first`` asks for one value and no more,
``items`` gives pairs as they are asked for."""
FILTERS: Mapping[str, Callable[..., Any]] = {
    **{name: _PLAIN[name] for name in SMALL},
    **PASSING,
    "batch": _batch,
    "center": _center,
    "charged": _charged,
    "concatenated": _concatenated,
    "dictsort": _sort_mapping,
    "e": _escape,
    "escape": _escape,
    "forceescape": _force_escape,
    "format": _format,
    "groupby": _group,
    "indent": _indent,
    "iterated": _iterated,
    "join": _join,
    "list": _list,
    "pprint": _pprint,
    "random": _random,
    "replace": _replace,
    "reverse": _reversed,
    "round": _round,
    "slice": _slice,
    "sort": _sort,
    "striptags": _striptags,
    "sum": _sum,
    "title": _title,
    "tojson": _to_json,
    "trim": _trim,
    "urlencode": _urlencode,
    "urlize": _urlize,
    "wordcount": _count_words,
    "wordwrap": _wordwrap,
    "xmlattr": _xml_attributes,
}
"""All of Jinja2's by name, and three that a rewritten template is charged by."""
