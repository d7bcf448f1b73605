"""GBNF means what llama.cpp makes of it, and its errors are about the user's own text."""

from __future__ import annotations

from typing import Any

import pytest

from engine.planning.grammar_rules import plan_grammar
from protocol.errors import GrammarTooLarge, InvalidGrammar
from protocol.grammar import Grammar, PlanGrammar
from tests.engine.byte_grammar import accepts, byte_grammars, compiled


def planned(source: str) -> PlanGrammar:
    plan = plan_grammar(Grammar(kind="gbnf", source=source))
    assert plan is not None
    return plan


def held(source: str) -> Any:
    return compiled(planned(source))


@pytest.mark.parametrize(
    ("source", "inside", "outside"),
    [
        (r'root ::= "\u00e9"', ["é"], ["e", r"\u00e9"]),
        (r"root ::= [\U0001F600-\U0001F64F]", ["😀", "🙏"], ["é", "🚀"]),
        (r'root ::= "\x41\t" [\x42]', ["A\tB"], ["AB"]),
        ("root ::= [a~~b]{3}", ["a~b", "~~~"], ["a-b"]),
        ("root ::= [a&&b[-]", ["a", "&", "-", "[", "b"], ["d", "]"]),
        ("root ::= [--0]", ["-", ".", "/", "0"], ["1", ","]),
        ('root ::= start\nstart ::= "x"', ["x"], ["start"]),
        ('root ::= import ignore\nimport ::= "i"\nignore ::= "g"', ["ig"], []),
        ('root ::= Foo foo FOO\nFoo ::= "1"\nfoo ::= "2"\nFOO ::= "3"', ["123"], ["111", "222"]),
        ('root ::= "a"{0} "b"', ["b"], ["ab"]),
        ('root ::= ("a" | "b"){2,3}', ["ab", "bab"], ["a", "abab"]),
        ('root ::= .', ["\n", "é", "😀"], ["", "ab"]),
        ('root ::= "a" "b" | "ab" "c"', ["ab", "abc"], ["a"]),
        ('root ::= word "a" | "(" root ")"\nword ::= "a"*', ["a", "aaa", "((aa))"], ["", "()"]),
        ('root ::= "a"\nroot ::= "b"', ["b"], ["a"]),
        ('root ::= (\n "a" # one\n | "b"\n) "c" # end', ["ac", "bc"], ["c"]),
        ('root ::= "a" | [z-y] "b"', ["a"], ["b"]),
        ('root ::= "x" root | root "y" | ', ["", "xxyy", "y"], ["yx"]),
    ],
)  # fmt: skip
def test_grammars_hold_what_they_say(source: str, inside: list[str], outside: list[str]) -> None:
    grammar = held(source)
    assert {text: accepts(grammar, text) for text in [*inside, *outside]} == {
        **dict.fromkeys(outside, False), **dict.fromkeys(inside, True)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("root ::= (", r"\) is expected, and there is the end, line 1, column 11"),
        ('root ::= "a"\nother = "b"', "::= is expected, and there is '= \"b\"', line 2, column 7"),
        ('root ::= "\\q"', r"\\q is no escape, line 1, column 11"),
        ("root ::= [a\\u12]", r"\\u needs 4 hexadecimal digits, line 1, column 12"),
        ('root ::= "a" missing', "there is no rule missing, line 1, column 14"),
        ('other ::= "a"', "there is no rule root"),
        ("", "there is no rule root"),
        ('root ::= "abc', 'there is no " for what begins line 1, column 10'),
        ("root ::= [abc", "there is no ] for what begins line 1, column 10"),
        ('root ::= * "a"', "there is nothing here to repeat, line 1, column 10"),
        ('root ::= "a"{2,1}', "1 is less than 2, line 1, column 13"),
        ('root ::= "a"{x}', r"\{least,most\} is expected, and there is '\{x\}', line 1, column 13"),
        ('root ::= "a"{3000}', "3000 times are more than 2000"),
        ('root ::= "a" "b" )', "the end of the rule's line is expected, and there is '\\)', line 1, column 18"),
        ('root ::= "\\ud83d"', r"U\+D83D is no character, line 1, column 11"),
        ("root ::= under_score", "the end of the rule's line is expected, and there is '_score', line 1, column 15"),
        ("root ::= <think>", r"<think> is no single token of the model; .* as <\[17\]>, line 1, column 10"),
        ('root ::= "a" root', "no text of the rule root comes to an end"),
    ],
)
def test_errors_are_about_the_text_that_was_written(source: str, reason: str) -> None:
    with pytest.raises(InvalidGrammar, match=reason) as refused:
        planned(source)
    assert refused.value.params["kind"] == "gbnf"


def test_tokens_are_named_by_their_ids() -> None:
    grammar = held('root ::= "a" <[98]> ![<[99]> | ]'.replace("![<[99]> | ]", "(!<[99]> | )"))
    assert accepts(grammar, "ab")
    assert accepts(grammar, "abd")
    assert not accepts(grammar, "abc")


DOUBLED = "\n".join(f"r{i} ::= r{i + 1} r{i + 1}" for i in range(40))
HOSTILE = [
    "root ::= r0\n" + DOUBLED + "\nr40 ::= ",
    'root ::= r0 | "(" root ")"\n' + DOUBLED + '\nr40 ::= "a"?',
    "root ::= r0\n" + "\n".join(f"r{i} ::= r{i + 1}" for i in range(2000)) + '\nr2000 ::= "a"',
    'root ::= r0 "(" root ")" | "x"\n' + "\n".join(f"r{i} ::= r{i + 1}" for i in range(2000)) + '\nr2000 ::= "a"',
    'root ::= ("(" root ")" | [a-z]{0,2000} [b-y]{0,2000} | [c-x]* [a-z])*',
    "root ::= " + " | ".join(f'"{i}" root' for i in range(3000)) + " | [0-9]*",
]


@pytest.mark.parametrize("source", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_made_to_be_expensive_is_compiled_or_refused(source: str) -> None:
    grammars = byte_grammars()
    try:
        grammars.compile(planned(source))
    except (InvalidGrammar, GrammarTooLarge) as refused:
        assert len(str(refused)) < 600  # noqa: PT017  one of two outcomes


def test_a_token_may_be_named_as_the_model_has_it() -> None:
    grammar = Grammar(kind="gbnf", source='root ::= <think> [^<]* !<|end|> "<a>"')
    plan = plan_grammar(grammar, {"<think>": 97, "<|end|>": 98}.get)
    assert plan is not None
    named = plan_grammar(Grammar(kind="gbnf", source='root ::= <[97]> [^<]* !<[98]> "<a>"'))
    assert named is not None
    assert plan.text == named.text
