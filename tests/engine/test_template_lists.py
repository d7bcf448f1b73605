"""What Jinja2 and Python offer a template is listed: what a later version adds is not there, or is noticed here."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE
from jinja2.tests import TESTS

from engine.text.template_sandbox import ATTRIBUTES, MAKERS, BudgetedEnvironment

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
ABSTRACT = {"BinExpr", "Expr", "Literal", "UnaryExpr", "_FilterTestCommon"}


def kinds(parent: type[nodes.Node]) -> Iterator[str]:
    yield parent.__name__
    for kind in parent.__subclasses__():
        yield from kinds(kind)


def test_every_kind_of_expression_is_charged_or_makes_little() -> None:
    charged = {name for kind in MAKERS for name in kinds(kind)} | {"Concat"}
    assert set(kinds(nodes.Expr)) == charged | GIVE_A_PART | ABSTRACT


def test_every_test_and_global_is_known() -> None:
    environment = BudgetedEnvironment()
    assert set(environment.tests) == set(TESTS) == TRUE_OR_FALSE
    assert set(DEFAULT_NAMESPACE) == {"cycler", "dict", "joiner", "lipsum", "namespace", "range"}
    assert set(environment.globals) == {*DEFAULT_NAMESPACE, "raise_exception"}


def test_what_is_allowed_of_a_value_is_there() -> None:
    for kind, names in ATTRIBUTES:
        own = kind if isinstance(kind, tuple) else (kind,)
        assert names - {"grouper", "list"} <= {name for each in own for name in dir(each)}
