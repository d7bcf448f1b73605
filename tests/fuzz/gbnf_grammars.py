"""Random GBNF grammars of few characters, so that random texts are now and then among theirs."""

from __future__ import annotations

import random

from engine.grammar.gbnf import GbnfError
from engine.grammar.gbnf_lark import gbnf_to_lark
from protocol.grammar import PlanGrammar
from tests.engine.byte_grammar import compiled, random_text

_LETTERS = "ab~&-[é😀]x"
_LITERALS = (
    '"a"',
    '"b"',
    '"ab"',
    '"~~"',
    r'"\x61"',
    r'"\u00e9"',
    r'"\U0001F600"',
    '"é"',
    r'"\""',
    r'"\\"',
    '""',
    '"a\nb"',
    r'"\]-["',
)
_CLASSES = (
    *("[ab]", "[^a]", "[a-b]", "[a~~b]", "[&&]", "[--a]", "[a-]", "[[]", "[^[]", r"[\]]", r"[^\]]", "[b-a]", "[^b-a]"),
    *(r"[\u00e8-\u00ea]", r"[\U0001F600-\U0001F64F]", r"[^\x00-\x60]", "[a-b-]", "[^^]", "[^]", "[]", "[é😀]", "."),
)  # fmt: skip
_NAMES = ("root", "start", "Start", "a-b", "x", "X", "import", "1", "ignore", "declare")
_TIMES = ("*", "+", "?", "{2}", "{0}", "{0,2}", "{1,}", "{ 1 , 2 }", "{0,}", "**", "{2}{2}")
_NO_TIMES = ("{,2}", "{a}", "{2", "{0}*", "{-1}")


def random_gbnf(seed: int) -> str:
    """Equal seeds give equal grammars; some are none."""
    draw = random.Random(seed)
    names = ["root", *draw.sample(_NAMES[1:], draw.randint(0, 3))]
    lines = [_line(draw, name, names) for name in names]
    return (
        draw.choice(("", "\n", "# first\n\n"))
        + draw.choice(("\n", "\n\n", "\r\n")).join(lines)
        + draw.choice(("", "\n"))
    )


def _line(draw: random.Random, name: str, names: list[str]) -> str:
    behind = draw.choice((" ", "", " # note\n", "\n"))
    more = "\n" if draw.random() < 0.1 else " "
    return f"{name} ::={behind}{more}{_choice(draw, names, 0)}{draw.choice(('', ' ', ' # end'))}"


def _choice(draw: random.Random, names: list[str], depth: int) -> str:
    bar = draw.choice((" | ", "|", " |\n  "))
    return bar.join(_sequence(draw, names, depth) for _ in range(draw.choice((1, 1, 2, 2, 3))))


def _sequence(draw: random.Random, names: list[str], depth: int) -> str:
    return " ".join(_part(draw, names, depth) for _ in range(draw.choice((0, 1, 1, 2, 2, 3))))


def _part(draw: random.Random, names: list[str], depth: int) -> str:
    kind = draw.random()
    if kind < 0.4:
        part = draw.choice(_LITERALS)
    elif kind < 0.65:
        part = draw.choice(_CLASSES)
    elif kind < 0.85 or depth > 2:
        part = draw.choice(names) if depth or draw.random() < 0.2 else '"x" ' + draw.choice(names[1:] or names)
    else:
        part = f"({draw.choice(('', ' ', chr(10)))}{_choice(draw, names, depth + 1)})"
    if draw.random() < 0.01:
        return draw.choice((part + draw.choice(_NO_TIMES), "missing", r'"\q"', "[a", "(a", "_"))
    return part + (draw.choice(_TIMES) if part not in ('""', "[]", "[^]") and draw.random() < 0.3 else "")


def texts_of(grammar: str, draw: random.Random, count: int) -> list[str]:
    """Texts that the engine finds in a grammar."""
    plan = PlanGrammar(kind="gbnf", source_hash="sha256:" + "0" * 64, language="lark", text=gbnf_to_lark(grammar))
    held = compiled(plan)
    texts = [random_text(held, draw, 60) for _ in range(count)]
    # llama.cpp's tests of grammars end a text at its first NUL
    return [text.decode() for text in texts if text is not None and b"\0" not in text]


def candidate_texts(grammar: str, seed: int) -> list[str]:
    """Texts of few letters, and some that the engine finds."""
    draw = random.Random(seed)
    short = ["", *_LETTERS, *("".join(draw.choices(_LETTERS, k=draw.randint(2, 4))) for _ in range(10))]
    try:
        near = texts_of(grammar, draw, 6)
    except GbnfError:
        near = []
    return list(dict.fromkeys([*short, *near, *(text[:-1] for text in near), *(text + "a" for text in near)]))
