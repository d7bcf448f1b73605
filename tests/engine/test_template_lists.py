"""What Jinja2 and Python offer a template is listed: what a later version adds is not there, or is noticed here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.filters import FILTERS as PLAIN
from jinja2.tests import TESTS

from engine.text.template_filters import FILTERS, SMALL
from engine.text.template_passing import COMPARING, MAPPING
from engine.text.template_sandbox import ATTRIBUTES, MAKERS, BudgetedEnvironment
from protocol.chat import ChatMessage
from protocol.errors import InvalidTemplate
from tests.engine.chat_reference import rendering

MESSAGES = (ChatMessage(role="user", content="Hello"),)
TRUE_OR_FALSE = {
    *("!=", "<", "<=", "==", ">", ">=", "boolean", "callable", "defined", "divisibleby", "eq", "equalto", "escaped"),
    *("even", "false", "filter", "float", "ge", "greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan"),
    *("lower", "lt", "mapping", "ne", "none", "number", "odd", "sameas", "sequence", "string", "test", "true"),
    *("undefined", "upper"),
}
GIVE_A_PART = {
    *("CondExpr", "Const", "ContextReference", "DerivedContextReference", "EnvironmentAttribute"),
    *("ExtensionAttribute", "Getattr", "Getitem", "ImportedName", "InternalName", "MarkSafe"),
    *("MarkSafeIfAutoescape", "NSRef", "Name", "Neg", "Not", "Pos", "Slice", "TemplateData", "Test"),
}
"""Expressions that make no value, or a small one; of ``Getitem`` the slices are charged."""
CHARGED = {
    *("batch", "center", "dictsort", "e", "escape", "forceescape", "format", "groupby", "indent", "join", "list"),
    *("pprint", "random", "replace", "reverse", "round", "slice", "sort", "striptags", "sum", "title", "tojson"),
    *("trim", "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr"),
}
"""Filters that ask the budget before they do."""
OVER = "it does too much|of absurd size"
LONG = "{% set s = 'a' * 400000 %}"
MANY = "range(99999)|map(attribute='n', default=s)"
"""The same long text again and again: that makes nothing, and costs nothing by itself."""
ARGUMENTS = {
    **{"attr": "'x'", "batch": "9", "groupby": "'n'", "indent": "1", "int": "0, 16", "map": "'upper'"},
    **{"replace": "'b', 'c'", "slice": "2", "truncate": "9"},
    **{"select": "'lower'", "reject": "'upper'", "selectattr": "'n', 'none'", "rejectattr": "'n', 'defined'"},
    **dict.fromkeys(("in", "==", "!=", "eq", "equalto", "ne", "sameas", "<", "<=", ">", ">="), "s"),
    **dict.fromkeys(("ge", "greaterthan", "gt", "le", "lessthan", "lt"), "s"),
}
OF_OTHER_THINGS = {"abs", "dictsort", "filesizeformat", "items", "random", "round", "sum", "xmlattr"}
"""Filters that take no text."""
OF_SEVERAL = {"batch", "groupby", "join", "list", "reverse", "slice", "sort"}
"""Filters that take several values, beside those of :mod:`engine.text.template_passing`."""
OF_NUMBERS = {"divisibleby", "even", "odd"}
ABSTRACT = {"BinExpr", "Expr", "Literal", "UnaryExpr", "_FilterTestCommon"}


def kinds(parent: type[nodes.Node]) -> Iterator[str]:
    yield parent.__name__
    for kind in parent.__subclasses__():
        yield from kinds(kind)


def test_every_kind_of_expression_is_charged_or_makes_little() -> None:
    charged = {name for kind in MAKERS for name in kinds(kind)} | {"Concat"}
    assert set(kinds(nodes.Expr)) == charged | GIVE_A_PART | ABSTRACT


def test_every_filter_is_known() -> None:
    ways = [set(SMALL), CHARGED, set(MAPPING), set(COMPARING)]
    assert sum(map(len, ways)) == len(set().union(*ways))
    assert set().union(*ways) == set(PLAIN) == set(FILTERS) - {"charged", "concatenated", "iterated"}


def called(name: str) -> str:
    return ", ".join(filter(None, (repr(name), ARGUMENTS.get(name, ""))))


@pytest.mark.parametrize("name", sorted(set(PLAIN) - OF_OTHER_THINGS))
def test_a_filter_costs_what_it_reads_each_time_that_another_calls_it(name: str) -> None:
    with pytest.raises(InvalidTemplate, match=OVER):
        rendering(LONG + "{{ " + MANY + f"|map({called(name)})|list|length" + " }}", MESSAGES, "", "")


@pytest.mark.parametrize("name", sorted(set(TESTS) - OF_NUMBERS))
def test_a_test_costs_what_it_reads_each_time_that_a_filter_calls_it(name: str) -> None:
    with pytest.raises(InvalidTemplate, match=OVER):
        rendering(LONG + "{{ " + MANY + f"|select({called(name)})|list|length" + " }}", MESSAGES, "", "")


@pytest.mark.parametrize("name", sorted({*OF_SEVERAL, *MAPPING, *COMPARING}))
def test_a_filter_pays_for_each_value_that_passes_it(name: str) -> None:
    values = MANY + f"|{name}({ARGUMENTS.get(name, '')})"
    with pytest.raises(InvalidTemplate, match=OVER):
        rendering(LONG + "{% for _ in " + values + " %}{% endfor %}", MESSAGES, "", "")


def test_every_test_and_global_is_known() -> None:
    environment = BudgetedEnvironment()
    assert set(environment.tests) == set(TESTS) == TRUE_OR_FALSE
    assert set(DEFAULT_NAMESPACE) == {"cycler", "dict", "joiner", "lipsum", "namespace", "range"}
    assert set(environment.globals) == {*DEFAULT_NAMESPACE, "raise_exception"}


def test_what_is_allowed_of_a_value_is_there() -> None:
    for kind, names in ATTRIBUTES:
        own = kind if isinstance(kind, tuple) else (kind,)
        assert names - {"grouper", "list"} <= {name for each in own for name in dir(each)}
