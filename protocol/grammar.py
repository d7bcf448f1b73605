"""Grammars that an answer must follow."""

from __future__ import annotations

from typing import Literal

from protocol.value import Value

GrammarKind = Literal["json_schema", "regex", "lark", "gbnf"]


class Grammar(Value):
    """What a request asks for."""

    kind: GrammarKind
    source: str
    """A schema's JSON text, in which the order of properties counts; a regular expression that matches the whole
    answer; a Lark or GBNF grammar."""


class PlanGrammar(Value):
    """What is compiled of it: decided once, so that a later library's conversion changes no plan."""

    kind: GrammarKind
    source_hash: str
    """``sha256:`` and 64 hexadecimal digits of the request's source."""
    language: Literal["json_schema", "regex", "lark"]
    """What ``text`` is written in: GBNF becomes Lark."""
    text: str
    """A schema's separators and white space are written out in it, as ``x-guidance``."""
