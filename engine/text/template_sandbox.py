"""A Jinja2 environment in which a hostile template can waste a second of one thread, and nothing else.

Jinja2's own sandbox keeps a template from the interpreter's internals, not from eating time and memory. So the parsed
template is rewritten before it is compiled: every operation and every iteration is charged to a budget, by what it
made, and the few operations that make much out of little ask the budget first. Filters and methods that pad, format
or repeat are not there at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes, pass_context
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

_CPU_SECONDS = 0.5
_UNITS = 1 << 25
"""One unit is one character or one element made."""
_OPERATION_UNITS = 32
_INPUT_ALLOWANCE = 16
"""Units more for each character of the messages: a template may well trim, compare and join them."""
_LARGEST_INTEGER_BITS = 128
_WIDEST_INDENT = 16

_FILTERS = (
    "abs", "capitalize", "d", "default", "dictsort", "e", "escape", "first", "float", "int", "items", "join",
    "last", "length", "count", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse",
    "safe", "select", "selectattr", "sort", "string", "title", "trim", "unique", "upper",
)  # fmt: skip
_STRING_METHODS = frozenset(
    {
        "capitalize", "count", "endswith", "find", "index", "isalnum", "isalpha", "isdigit", "islower", "isspace",
        "isupper", "join", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
        "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper",
    }
)  # fmt: skip


class Budget:
    """What one rendering may still do."""

    def __init__(self, input_characters: int) -> None:
        self._units = _UNITS + _INPUT_ALLOWANCE * input_characters
        self._deadline = time.thread_time() + _CPU_SECONDS

    def charge(self, units: int) -> None:
        """Raises TemplateError where the budget does not hold that much."""
        self._units -= units + _OPERATION_UNITS
        if self._units < 0 or time.thread_time() > self._deadline:
            raise TemplateError("it does too much: its output, memory or time is over the limit")

    def charge_value(self, value: object) -> None:
        """Charge all that printing ``value`` could make: a list that holds one list twice counts it twice."""
        pending = [value]
        while pending:
            match pending.pop():
                case str() | bytes() as text:
                    self.charge(len(text))
                case list() | tuple() as items:
                    self.charge(len(items))
                    pending += items
                case dict() as mapping:
                    self.charge(len(mapping))
                    pending += [*mapping.keys(), *mapping.values()]
                case int() as number if number.bit_length() > _LARGEST_INTEGER_BITS:
                    raise TemplateError("it computes with numbers of absurd size")
                case _:
                    self.charge(0)


BUDGET: ContextVar[Budget] = ContextVar("BUDGET")
"""Set around each rendering."""


class _Generation(Extension):
    """``{% generation %}``, by which templates for training mark what the model says; its inside is a scope."""

    tags = {"generation"}  # noqa: RUF012  as the base class has it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        inside = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(inside, lineno=line)


class BudgetedEnvironment(ImmutableSandboxedEnvironment):
    """Compiles templates whose every step is charged to :data:`BUDGET`."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        # The options, extensions and globals of the reference renderer, which chat templates are written for.
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])
        self.globals = {name: self.globals[name] for name in ("range", "dict", "namespace")}
        self.globals["raise_exception"] = _raise_exception
        self.filters = {name: self.filters[name] for name in _FILTERS}
        self.filters |= {"charged": _charged, "iterated": _iterated, "concatenated": _concatenated, "tojson": _to_json}
        self.filters |= {"join": _guarded_join, "replace": _guarded_replace}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Charging().visit(super()._parse(source, name, filename))
        return template

    def wrap_str_format(self, value: Any) -> None:
        """``str.format`` stays what it is, and so is refused as any method not named above: it can pad without end."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read an attribute; see jinja2's sandbox."""
        if isinstance(obj, str):
            return attr in _STRING_METHODS
        return not isinstance(obj, bytes | int | float) and super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function for a template, within its budget."""
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str) and name == "replace" and len(args) > 1:
            _charge_replace(owner, *args[:2])
        if isinstance(owner, str) and name == "join" and args:
            args = (_charge_join(owner, args[0]), *args[1:])
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator for a template, within its budget."""
        match operator, left, right:
            case "%", str(), _:
                raise TemplateError("formatting with % is not available in chat templates")
            case "*", str() | list() | tuple(), int():
                BUDGET.get().charge(len(left) * max(right, 0))
            case "*", int(), str() | list() | tuple():
                BUDGET.get().charge(len(right) * max(left, 0))
            case "**", _, int() | float() if abs(right) > _LARGEST_INTEGER_BITS:
                raise TemplateError("it computes with numbers of absurd size")
        return super().call_binop(context, operator, left, right)


class _Charging(NodeTransformer):
    """Wraps what makes values in ``charged``, what is looped over in ``iterated``."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.Concat):
            return _wrapped(nodes.List(node.nodes), "concatenated")
        if isinstance(node, nodes.Tuple) and node.ctx != "load":
            return node
        return _wrapped(node, "charged") if _makes_a_value(node) else node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  the name is Jinja's
        self.generic_visit(node)
        node.iter = _wrapped(node.iter, "iterated")
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_wrapped(child, "charged") for child in node.nodes]
        return node

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:  # noqa: N802
        return self._keeping_shape(node, "call", node.call)

    def visit_FilterBlock(self, node: nodes.FilterBlock) -> nodes.Node:  # noqa: N802
        return self._keeping_shape(node, "filter", node.filter)

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.Node:  # noqa: N802
        return self._keeping_shape(node, "filter", node.filter)

    def _keeping_shape(self, node: nodes.Node, field: str, inner: nodes.Node | None) -> nodes.Node:
        """Transform all but ``inner``, whose kind the compiler depends on, and what is inside it."""
        self.generic_visit(node)
        if inner is not None:
            setattr(node, field, inner)
        return node


def _makes_a_value(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Slice)
    makers = nodes.Call | nodes.Filter | nodes.BinExpr | nodes.Compare | nodes.List | nodes.Tuple | nodes.Dict
    return isinstance(node, makers)


def _wrapped(node: nodes.Node, name: str) -> nodes.Filter:
    if isinstance(node, nodes.TemplateData):
        node = nodes.Const(node.data)
    wrapped = nodes.Filter(node, name, [], [], None, None)
    return wrapped.set_lineno(node.lineno or 1)  # type: ignore[return-value]


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
def _guarded_join(_: Context, values: Iterable[Any], separator: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        raise TemplateError("join by attribute is not available in chat templates; use map first")
    return str(separator).join(map(str, _charge_join(str(separator), values)))


@pass_context
def _guarded_replace(_: Context, text: Any, old: str, new: str) -> str:
    _charge_replace(str(text), old, new)
    return str(text).replace(old, new)


def _charge_join(separator: str, values: Iterable[Any]) -> list[Any]:
    items = list(values)
    BUDGET.get().charge(len(separator) * len(items))
    BUDGET.get().charge_value(items)
    return items


def _charge_replace(text: str, old: str, new: str) -> None:
    BUDGET.get().charge(len(text) + text.count(old) * len(new))


@pass_context
def _to_json(
    _: Context,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    BUDGET.get().charge_value(value)
    if not (indent is None or (isinstance(indent, int) and 0 <= indent <= _WIDEST_INDENT)):
        raise TemplateError(f"tojson can indent by 0 to {_WIDEST_INDENT}")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
