"""Random grammars with numbers at and beyond the edges of every type that a library may hold them in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from protocol.grammar import Grammar, GrammarKind

_NEAR = (0, 1, -1, 2, -2)
_INTEGERS = tuple(sign * (2**power + near) for power in (31, 32, 53, 62, 63, 64) for near in _NEAR for sign in (1, -1))
_NUMBERS: tuple[Any, ...] = (
    *_INTEGERS,
    *(-1e19, 1e19, -9.3e18, 9.3e18, 1e300, -1e300, 1.7e308, 5e-324, 1e-300, 1e-7, 0.1, 0.5, 1.5, 3e-9, -0.0, 0.0),
    *(0, 1, 2, 3, 7, 10, 99, 100, 4095, 10**9, 10**18, 10**30, 10**400, -7, -100, -(10**18), -(10**30)),
)
_COUNTS: tuple[Any, ...] = (0, 1, 2, 5, 100, 5000, 65535, 10**6, 2**31, 2**32 - 1, 2**32, 2**63, 2**64, -1, 1.0, 1e9)
_REPEATS = (0, 1, 2, 3, 10, 50, 1000, 32767, 65535, 10**6, 2**31 - 1, 2**32 - 1, 2**32, 2**63, 2**64, 10**30)
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_FORMATS = ("date", "date-time", "uuid", "ipv6", "email", "uri", "hostname", "duration")
_CLASSES = (
    "a",
    ".",
    r"\d",
    r"\w",
    r"\p{L}",
    r"\PN",
    "[^a-z]",
    r"[\u{10000}-\u{10FFFF}]",
    "[a-ué]",
    r"\x{0}",
    r"\s",
    "",
)


def random_grammar(seed: int) -> Grammar:
    """Equal seeds give equal grammars."""
    draw = random.Random(seed)
    writers: tuple[tuple[GrammarKind, Callable[[random.Random], str]], ...] = (
        ("json_schema", lambda draw: json.dumps(_schema(draw, 0))),
        ("json_schema", lambda draw: json.dumps(_number(draw))),
        ("regex", lambda draw: _regex(draw, 0)),
        ("lark", _lark),
        ("gbnf", _gbnf),
    )
    kind, write = draw.choice(writers)
    return Grammar(kind=kind, source=write(draw))


def _number(draw: random.Random) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw.choice(("integer", "integer", "number"))}
    first = draw.choice(_NUMBERS)
    for name in draw.sample(_BOUNDS, draw.randint(1, 3)):
        schema[name] = first if draw.random() < 0.3 else draw.choice(_NUMBERS)
    if draw.random() < 0.2:
        schema["multipleOf"] = draw.choice(_NUMBERS)
    return schema


def _text(draw: random.Random) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for name in draw.sample(("minLength", "maxLength"), draw.randint(0, 2)):
        schema[name] = draw.choice(_COUNTS)
    if draw.random() < 0.5:
        schema["pattern"] = _regex(draw, 1)
    elif draw.random() < 0.3:
        schema["format"] = draw.choice(_FORMATS)
    return schema


def _schema(draw: random.Random, depth: int) -> dict[str, Any] | bool:
    kinds: list[Callable[[], dict[str, Any] | bool]] = [
        lambda: _number(draw),
        lambda: _text(draw),
        lambda: {"const": draw.choice((*_NUMBERS, "é", None, [1, {"a": -1e19}]))},
        lambda: {"enum": draw.sample(_NUMBERS, 3)},
        lambda: {"type": "boolean"},
        lambda: draw.random() < 0.5,
    ]
    if depth < 4:
        kinds += [lambda: _array(draw, depth), lambda: _object(draw, depth), lambda: _combination(draw, depth)] * 2
    return draw.choice(kinds)()


def _array(draw: random.Random, depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": _schema(draw, depth + 1)}
    for name in draw.sample(("minItems", "maxItems"), draw.randint(0, 2)):
        schema[name] = draw.choice(_COUNTS)
    if draw.random() < 0.3:
        schema["prefixItems"] = [_schema(draw, depth + 1) for _ in range(draw.randint(1, 4))]
    return schema


def _object(draw: random.Random, depth: int) -> dict[str, Any]:
    names = draw.sample(("a", "b", "", 'é"', "x" * 300), draw.randint(1, 4))
    schema: dict[str, Any] = {"type": "object", "properties": {name: _schema(draw, depth + 1) for name in names}}
    schema["required"] = draw.sample(names, draw.randint(0, len(names)))
    schema["additionalProperties"] = _schema(draw, depth + 2)
    for name in draw.sample(("minProperties", "maxProperties"), draw.randint(0, 1)):
        schema[name] = draw.choice(_COUNTS)
    if draw.random() < 0.2:
        schema["patternProperties"] = {_regex(draw, 2): _schema(draw, depth + 1)}
    return schema


def _combination(draw: random.Random, depth: int) -> dict[str, Any]:
    if draw.random() < 0.3:
        return {"$defs": {"d": _schema(draw, depth + 1)}, "$ref": draw.choice(("#/$defs/d", "#"))}
    parts = [_schema(draw, depth + 1) for _ in range(draw.randint(1, 4))]
    return {draw.choice(("anyOf", "allOf", "oneOf")): parts}


def _regex(draw: random.Random, depth: int) -> str:
    if depth > 4 or draw.random() < 0.3:
        return draw.choice(_CLASSES)
    one, other = _regex(draw, depth + 1), _regex(draw, depth + 1)
    least, most = sorted((draw.choice(_REPEATS), draw.choice(_REPEATS)))
    small = sorted((draw.randint(0, 60), draw.randint(0, 60)))
    forms = (
        f"({one}|{other})", f"{one}{other}", f"({one})*", f"({one})+{other}", f"({one}){{{least},{most}}}",
        f"({one}){{{draw.choice(_REPEATS)},}}", f"({one}){{{small[0]},{small[1]}}}{other}", f"({one})?", f"^{one}$",
    )  # fmt: skip
    return draw.choice(forms)


def _terminal(draw: random.Random) -> str:
    regex = (_regex(draw, 1) or "a").replace("/", "\\/")
    forms = (f"/{regex}/", '"ab"', '"a".."z"', f"(/{regex}/ & ~/{regex}/)", f"~/{regex}/", f'(/{regex}/ | "é")')
    return draw.choice(forms)


def _lark(draw: random.Random) -> str:
    rules = ["start", "a", "b"]
    lines = []
    for name in rules:
        parts = []
        for _ in range(draw.randint(1, 4)):
            part = draw.choice((*rules, "T", "U", '"x"', f"<[{draw.choice(_REPEATS)}]>", f"%json {_json(draw)}"))
            least, most = sorted((draw.choice(_REPEATS), draw.choice(_REPEATS)))
            parts.append(
                part + draw.choice(("", "", "*", "+", "?", f"{{{least},{most}}}", f"{{{draw.randint(0, 9)}}}"))
            )
        options = draw.choice(("", "", f"[max_tokens={draw.choice(_REPEATS)}]", "[lazy]", "[capture]"))
        lines.append(f"{name}{options}: " + draw.choice((" ", " | ")).join(parts))
    return "\n".join([*lines, f"T: {_terminal(draw)}", f"U: {_terminal(draw)}"])


def _json(draw: random.Random) -> str:
    return json.dumps(_schema(draw, 3))


def _gbnf(draw: random.Random) -> str:
    least, most = sorted((draw.choice(_REPEATS), draw.choice(_REPEATS)))
    item = draw.choice(('"x"', "[a-z]", "[^\\x00-\\x1F]", "tail", ".", "root"))
    counts = draw.choice(("*", "+", "?", f"{{{least},{most}}}", f"{{{least},}}", f"{{{draw.randint(0, 99)}}}"))
    return f'root ::= {item}{counts} ("é" | tail)\ntail ::= "t" {item}{draw.choice(("", "*", "{2,7}"))}\n'
