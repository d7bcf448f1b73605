"""A Jinja2 environment in which a hostile template can waste a second of one thread, and nothing else.

Jinja2's own sandbox keeps a template from the interpreter's internals, not from eating time and memory. So the parsed
template is rewritten before it is compiled: every operation and every iteration is charged to a budget, by what it
made, and the operations that make much out of little ask the budget first.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from types import GeneratorType
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from engine.text.template_budget import BUDGET
from engine.text.template_charges import (
    charge_braces,
    charge_items,
    charge_join,
    charge_percent,
    charge_replace,
    charge_search,
    charge_split,
)
from engine.text.template_filters import FILTERS

_LARGEST_EXPONENT = 128
_PADDING = frozenset({"center", "ljust", "rjust", "zfill"})
_SPLITTING = frozenset({"split", "rsplit", "splitlines"})
_SEARCHING = frozenset({"lstrip", "rfind", "rindex", "rpartition", "rsplit", "rstrip", "strip"})
_TESTING = frozenset({name for name in dir(str) if name.startswith("is")})

ATTRIBUTES: tuple[tuple[type | tuple[type, ...], frozenset[str]], ...] = (
    (
        str,
        frozenset({"capitalize", "casefold", "count", "endswith", "find", "format", "format_map", "index", "join"})
        | {"lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind", "rindex", "rpartition"}
        | {"rstrip", "startswith", "strip", "swapcase", "title", "upper"}
        | (_PADDING | _SPLITTING | _TESTING),
    ),
    (dict, frozenset({"copy", "get", "items", "keys", "values"})),
    (tuple, frozenset({"count", "grouper", "index", "list"})),  # those of groupby have names
    (list, frozenset({"copy", "count", "index"})),
    ((int, float), frozenset({"bit_length", "denominator", "imag", "is_integer", "numerator", "real"})),
    ((bytes, complex, set, frozenset, ItemsView, KeysView, ValuesView, GeneratorType), frozenset()),
)
"""What a template may use of each of Python's own types: what gives a part of the value, no more than three characters
for each of its, or is charged for what it makes. Left out is what makes bytes, what shows a value that
:meth:`Budget.charge_value` does not see, and what takes a time that grows with the square of a text."""


MAKERS = (nodes.Call, nodes.Filter, nodes.BinExpr, nodes.Compare, nodes.List, nodes.Tuple, nodes.Dict)
"""Expressions that make values of their own, beside ``Concat`` and slices."""


class _Generation(Extension):
    """``{% generation %}``, by which templates for training mark what the model says; its inside is a scope."""

    tags = {"generation"}  # noqa: RUF012  as the base class has it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        inside = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(inside, lineno=line)


class _ShortNamespace(Namespace):
    """Prints none of what it holds, which may be itself, or any amount."""

    def __repr__(self) -> str:
        return "<Namespace>"


class BudgetedEnvironment(ImmutableSandboxedEnvironment):
    """Compiles templates whose every step is charged to :data:`BUDGET`."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        # The options, extensions and globals of the reference renderer, which chat templates are written for.
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation])
        self.globals |= {"raise_exception": _raise_exception, "lipsum": _lipsum, "namespace": _ShortNamespace}
        self.filters = dict(FILTERS)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Charging().visit(super()._parse(source, name, filename))
        return template

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """``str.format`` as the sandbox has it, within the budget; ``None`` for any other method."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        form = value.__self__

        def formatted(*args: Any, **kwargs: Any) -> str:
            charge_braces(form, (*args, *kwargs.values()))
            return wrapped(*args, **kwargs)

        return formatted

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read an attribute; see jinja2's sandbox."""
        names = next((names for kinds, names in ATTRIBUTES if isinstance(obj, kinds)), None)
        return (names is None or attr in names) and super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function for a template, within its budget."""
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(owner, str) and name == "replace" and len(args) > 1:
            charge_replace(owner, *args[:2])
        if isinstance(owner, str) and name == "join" and args:
            args = (charge_join(owner, args[0]), *args[1:])
        if isinstance(owner, str) and name in _SPLITTING:
            charge_split(owner, name, args, kwargs)
        if isinstance(owner, str) and name in _SEARCHING:
            charge_search(owner, next(iter((*args, *kwargs.values())), None))
        if isinstance(owner, str) and name in _PADDING and args:
            BUDGET.get().charge(max(args[0], 0))
        if (obj is dict or obj is _ShortNamespace) and args and not isinstance(args[0], Mapping):
            args = (charge_items(args[0]), *args[1:])
        return super().call(context, obj, *args, **kwargs)

    def call_filter(self, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a filter for another, such as ``map``: what it reads and what it makes is charged."""
        budget = BUDGET.get()
        budget.charge(len(value) if isinstance(value, str) else 0)
        made = super().call_filter(name, value, *args, **kwargs)
        budget.charge_value(made)
        return made

    def call_test(self, name: str, value: Any, *args: Any, **kwargs: Any) -> bool:
        """Call a test for a filter, such as ``select``: what it reads is charged, all of it where it is compared."""
        compared = args[0] if args else kwargs.get("args")
        BUDGET.get().charge_value([value, compared] if compared else value if isinstance(value, str) else None)
        return bool(super().call_test(name, value, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Apply an operator for a template, within its budget."""
        match operator, left, right:
            case "%", str(), _:
                charge_percent(left, right)
            case "*", str() | list() | tuple(), int():
                BUDGET.get().charge(len(left) * max(right, 0))
            case "*", int(), str() | list() | tuple():
                BUDGET.get().charge(len(right) * max(left, 0))
            case "**", _, int() | float() if abs(right) > _LARGEST_EXPONENT:
                raise TemplateError("it computes with numbers of absurd size")
        return super().call_binop(context, operator, left, right)


class _Charging(NodeTransformer):
    """Wraps what makes values in ``charged``, what is looped over in ``iterated``."""

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.Call | nodes.Filter | nodes.Test) and node.dyn_args is not None:
            node.dyn_args = _wrapped(node.dyn_args, "list")
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
        call = node.call
        self.generic_visit(node)
        node.call = call  # the compiler takes nothing but a call here; what is inside it was charged
        return node


def _makes_a_value(node: nodes.Node) -> bool:
    return isinstance(node.arg, nodes.Slice) if isinstance(node, nodes.Getitem) else isinstance(node, MAKERS)


def _wrapped(node: nodes.Node, name: str) -> nodes.Filter:
    if isinstance(node, nodes.TemplateData):
        node = nodes.Const(node.data)
    wrapped = nodes.Filter(node, name, [], [], None, None)
    return wrapped.set_lineno(node.lineno or 1)  # type: ignore[return-value]


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _lipsum(*_: object, **__: object) -> NoReturn:
    raise TemplateError("lipsum is not available in chat templates: the same request gives the same text")
