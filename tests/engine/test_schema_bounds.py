"""Ranges of integers that the grammar library cannot hold are found, and nothing that it can."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.grammar.schema_bounds import inexact_integer, unbearable_range
from engine.grammar.trial_process import TrialProcess
from engine.planning.grammar_rules import plan_grammar
from protocol.errors import InvalidGrammar
from protocol.grammar import Grammar
from tests.engine.test_grammar_sandbox import settings

END = -(2**63)
BELOW = {"type": "integer", "minimum": -1e19, "maximum": -1e19}
NEAR = (-1e300, -1e19, END - 2048, END - 1, END, END + 1, END + 512, END + 513, END + 1024, -5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("type", "minimum", "maximum", "exclusiveMaximum", "enum", "const", "anyOf", "$ref", "items")
            ),
            inner,
            max_size=4,
        )
    ),
)


class Library:
    """What the library does with a schema, in a process of its own each time it crashes."""

    def __init__(self) -> None:
        self._process = TrialProcess(settings())

    def outcome(self, schema: Any) -> str:
        if not self._process.alive:
            self._process = TrialProcess(settings())
        return self._process.try_out("json_schema", json.dumps(schema)).outcome


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


@pytest.mark.parametrize("upper", ["maximum", "exclusiveMaximum"])
@pytest.mark.parametrize("lowest", [-1e300, END - 1, END + 513])
def test_ranges_are_found_where_the_library_crashes_and_nowhere_else(
    lowest: float, upper: str, library: Library
) -> None:
    for highest in NEAR:
        schema = {"type": "integer", "minimum": lowest, upper: highest}
        assert bool(unbearable_range(schema)) == (library.outcome(schema) == "crashed"), schema


@pytest.mark.parametrize("value", NEAR)
def test_values_are_found_where_the_library_crashes_and_nowhere_else(value: float, library: Library) -> None:
    for schema in ({"const": value}, {"enum": [1, value]}, {"const": value, "type": "string"}):
        assert bool(unbearable_range(schema)) == (library.outcome(schema) == "crashed"), schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (BELOW, "maximum -1e+19 at #"),
        (
            {"type": ["null", "integer"], "exclusiveMinimum": -1e20, "exclusiveMaximum": END},
            f"exclusiveMaximum {END} at #",
        ),
        ({"type": "object", "properties": {"a": {"enum": [7, END]}}}, f"enum {END} at #/properties/a"),
        ({"type": "array", "items": {"anyOf": [{"type": "null"}, BELOW]}}, "maximum -1e+19 at #/items/anyOf/1"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": END}}}, f"const {END} at #/$defs/a~1b"),
    ],
)
def test_a_range_is_named_by_what_was_written_and_where(schema: Any, words: str) -> None:
    found = unbearable_range(schema)
    assert found == f"{words} is beyond what can be held: integers go from -9223372036854774784 up"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": -1e19, "maximum": -1e19},
        {"minimum": -1e19, "maximum": -1e19},
        {"type": "null", "$defs": {"unused": BELOW}},
        {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 5, "maximum": -1e19}]},
        {"type": "object", "properties": {"a": {"const": True}}},
    ],
)
def test_what_the_library_can_compile_is_let_through(schema: Any, library: Library) -> None:
    assert unbearable_range(schema) == ""
    assert library.outcome(schema) == "compiled"


def test_a_schema_may_refer_to_itself() -> None:
    assert unbearable_range({"$ref": "#"}) == ""


@given(schema=JSON)
def test_any_json_is_looked_through(schema: Any) -> None:
    assert isinstance(unbearable_range(schema), str)


def test_a_plan_is_refused_in_words_of_the_schema() -> None:
    with pytest.raises(InvalidGrammar, match=r"maximum -1e\+19 at #") as raised:
        plan_grammar(Grammar(kind="json_schema", source=json.dumps(BELOW)))
    assert raised.value.params["field"] == "execution.grammar.source"


def test_numbers_beyond_a_double_are_refused_by_their_digits() -> None:
    with pytest.raises(InvalidGrammar, match=r"-1e400 is beyond the range of a double"):
        plan_grammar(Grammar(kind="json_schema", source='{"type": "number", "minimum": -1e400}'))


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"const": 2**53 + 1}, "const 9007199254740993 at #"),
        ({"properties": {"a": {"enum": ["x", {"deep": [-(2**60)]}]}}}, "enum -1152921504606846976 at #/properties/a"),
        ({"items": {"type": "integer", "exclusiveMinimum": 2**53 + 2}}, "exclusiveMinimum 9007199254740994 at #/items"),
        ({"$defs": {"a": {"multipleOf": 10**30}}}, f"multipleOf {10**30} at #/$defs/a"),
        ({"anyOf": [{}, {"type": "integer", "maximum": 2**63 - 1}]}, "maximum 9223372036854775807 at #/anyOf/1"),
    ],
)
def test_an_integer_that_no_double_has_is_named_with_its_place(schema: Any, words: str) -> None:
    assert inexact_integer(schema) == f"{words} cannot be held exactly: integers go to 2^53, 9007199254740992"
    with pytest.raises(InvalidGrammar, match="cannot be held exactly"):
        plan_grammar(Grammar(kind="json_schema", source=json.dumps(schema)))


@pytest.mark.parametrize(
    "schema",
    [{"const": 2**53}, {"minimum": -(2**53), "maximum": 2**53}, {"default": 2**60}, {"const": True}, {"enum": 5}, True],
)
def test_integers_that_doubles_have_are_let_through(schema: Any) -> None:
    assert inexact_integer(schema) == ""


@given(schema=JSON)
def test_any_json_is_looked_through_for_integers(schema: Any) -> None:
    assert isinstance(inexact_integer(schema), str)
