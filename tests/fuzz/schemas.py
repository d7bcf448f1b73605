"""Random JSON Schemas of every keyword that structured output holds, small as those of the specification's tests."""

from __future__ import annotations

import random
from typing import Any

_NAMES = ("a", "b", "foo", "bar", "é", 'q"', "", "x-1")
_PATTERNS = (
    *("^a*$", "^[a-c]+$", "a", "^x-", "^(foo|bar)$", r"^\d{2,3}$", "[0-9]", "^.$", r"^\w+$", "^a$", "^b?$", "^é", "z$"),
    *("^[^a]*$", "^(a|b)(c|d)?$"),
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri")
_NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 5, 10, 99, 100, -7, -100, 0.5, -0.5, 1.5, 2.25, 0.01, -99.9, 1e3, 3.0, 1e-3),
    *(2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**64, 10**20, -1e19, 1e19, 10**30),
)
_STEPS: tuple[Any, ...] = (1, 2, 3, 5, 10, 0.5, 0.1, 0.01, 1.5, 7, 100, 2**60)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "a", "foo", "é\n", '"\\', "\u2028", [], {}, [1, "x"], {"a": 1}, {"foo": {"bar": [2.5]}}),
    *_NUMBERS,
)
_TYPES = ("null", "boolean", "string", "number", "integer", "array", "object")


def suite_schema(seed: int) -> Any:
    """Equal seeds give equal schemas."""
    writer = _Writer(random.Random(seed))
    schema = writer.schema(0)
    if writer.refers and isinstance(schema, dict):
        schema["$defs"] = {name: writer.schema(2) for name in ("one", "two")}
    return schema


class _Writer:
    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.refers = False

    def schema(self, depth: int) -> Any:
        draw = self._draw
        if draw.random() < 0.04:
            return draw.random() < 0.8
        forms = [self._number, self._text, self._fixed, self._types]
        if depth < 3:
            forms += [self._array, self._object, self._object, self._combined, self._referring, self._mixed]
        return draw.choice(forms)(depth)

    def _number(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        schema: dict[str, Any] = {"type": draw.choice(("integer", "number"))}
        bounds = draw.sample(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), draw.randint(0, 2))
        schema |= {keyword: draw.choice(_NUMBERS) for keyword in bounds}
        if draw.random() < 0.3:
            schema["multipleOf"] = draw.choice(_STEPS)
        return self._untyped(schema)

    def _text(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        schema: dict[str, Any] = {"type": "string"}
        if draw.random() < 0.5:
            schema["minLength"] = draw.randint(0, 4)
        if draw.random() < 0.5:
            schema["maxLength"] = draw.randint(0, 8)
        kind = draw.random()
        if kind < 0.35:
            schema["pattern"] = draw.choice(_PATTERNS)
        elif kind < 0.55:
            schema = {"type": "string", "format": draw.choice(_FORMATS)}
        return self._untyped(schema)

    def _fixed(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        schema: dict[str, Any] = {"const": draw.choice(_VALUES)}
        if draw.random() < 0.5:
            schema = {"enum": draw.sample(_VALUES, draw.randint(1, 4))}
        if draw.random() < 0.3:
            schema["type"] = draw.choice(_TYPES)
        return schema

    def _types(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        return {"type": draw.choice((draw.choice(_TYPES), draw.sample(_TYPES, draw.randint(1, 3))))}

    def _array(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        schema: dict[str, Any] = {"type": "array"}
        if draw.random() < 0.7:
            schema["items"] = self.schema(depth + 1)
        if draw.random() < 0.4:
            schema["prefixItems"] = [self.schema(depth + 1) for _ in range(draw.randint(1, 3))]
        for keyword in draw.sample(("minItems", "maxItems"), draw.randint(0, 2)):
            schema[keyword] = draw.randint(0, 4)
        return self._untyped(schema)

    def _object(self, depth: int) -> dict[str, Any]:
        draw = self._draw
        names = draw.sample(_NAMES, draw.randint(0, 3))
        schema: dict[str, Any] = {"type": "object"}
        if names:
            schema["properties"] = {name: self.schema(depth + 1) for name in names}
        if draw.random() < 0.6:
            schema["required"] = draw.sample(
                _NAMES if draw.random() < 0.2 else names, min(len(names), draw.randint(0, 2))
            )
        if draw.random() < 0.5:
            schema["additionalProperties"] = draw.random() < 0.3 or self.schema(depth + 1)
        if draw.random() < 0.35:
            patterns = draw.sample(_PATTERNS, draw.randint(1, 2))
            schema["patternProperties"] = {pattern: self.schema(depth + 1) for pattern in patterns}
        if draw.random() < 0.25:
            schema[draw.choice(("minProperties", "maxProperties"))] = draw.randint(0, 3)
        return self._untyped(schema)

    def _combined(self, depth: int) -> dict[str, Any]:
        keyword = self._draw.choice(("anyOf", "allOf", "oneOf"))
        return {keyword: [self.schema(depth + 1) for _ in range(self._draw.randint(1, 3))]}

    def _referring(self, depth: int) -> dict[str, Any]:
        self.refers = True
        return {"$ref": self._draw.choice(("#/$defs/one", "#/$defs/two"))}

    def _mixed(self, depth: int) -> Any:
        one, other = self.schema(depth + 1), self.schema(depth + 1)
        return {**one, **other} if isinstance(one, dict) and isinstance(other, dict) else one

    def _untyped(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Now and then without its type, so that it says nothing of other values."""
        if self._draw.random() < 0.15:
            del schema["type"]
        return schema
