"""Random JSON Schemas, made as people make them: records with named fields, nested in each other and in lists, whose
texts have lengths, patterns or formats and whose numbers have ranges. Equal seeds give equal schemas.
"""

from __future__ import annotations

import json
import random
from typing import Any

Schema = dict[str, Any]

_NAMES = (
    *("name", "id", "email", "age", "tags", "price", "address", "city", "status", "items", "count", "date", "author"),
    *("title", "code", "active", "rating", "notes", "country", "phone", "size", "color", "owner", "version", "url"),
)
_WORDS = ("red", "green", "blue", "open", "closed", "pending", "low", "medium", "high", "cat", "dog", "small", "large")
_PATTERNS = (
    "^[A-Z]{2}-[0-9]{4}$",
    "^[a-z]+(-[a-z]+){0,2}$",
    "^\\+?[0-9]{6,12}$",
    "^(north|south|east|west)[0-9]?$",
    "^[A-Z][a-z]{2,10}( [A-Z][a-z]{2,10})?$",
    "^#[0-9a-f]{6}$",
    "^v[0-9]+\\.[0-9]+\\.[0-9]+$",
)
_FORMATS = ("date", "uuid", "ipv4", "email")
_MOST_FIELDS = 4
_DEEPEST = 3


def random_schema(seed: int) -> Schema:
    """An object with fields, of bounded answers; every third has definitions that it refers to."""
    draw = random.Random(seed)  # noqa: S311  no secret
    writer = _Writer(draw, seed % 3 == 0)
    schema = writer.record(0)
    if writer.definitions:
        schema["$defs"] = writer.definitions
    return schema


def schema_text(seed: int) -> str:
    return json.dumps(random_schema(seed))


class _Writer:
    def __init__(self, draw: random.Random, refers: bool) -> None:
        self.definitions: dict[str, Schema] = {}
        self._draw = draw
        self._refers = refers

    def record(self, depth: int) -> Schema:
        names = self._draw.sample(_NAMES, self._draw.randint(1, _MOST_FIELDS))
        schema: Schema = {"type": "object", "properties": {name: self._field(depth + 1) for name in names}}
        schema["required"] = names if depth == 0 else self._draw.sample(names, self._draw.randint(1, len(names)))
        schema["additionalProperties"] = False
        return schema

    def _field(self, depth: int) -> Schema:
        leaf = self._draw.choice((self._text, self._text, self._integer, self._number, self._choice, self._other))
        if depth >= _DEEPEST or self._draw.random() < 0.6:
            return leaf()
        return self._draw.choice((self.record, self._list, self._either, self._reference))(depth)

    def _list(self, depth: int) -> Schema:
        least = self._draw.randint(0, 2)
        most = least + self._draw.randint(1, 3)
        return {"type": "array", "items": self._field(depth + 1), "minItems": least, "maxItems": most}

    def _either(self, depth: int) -> Schema:
        return {"anyOf": [self._field(depth + 1), self._draw.choice(({"type": "null"}, self._integer()))]}

    def _reference(self, depth: int) -> Schema:
        if not self._refers:
            return self.record(depth)
        if not self.definitions:
            self.definitions["thing"] = {}
            self.definitions["thing"] = self.record(_DEEPEST)
        return {"$ref": "#/$defs/thing"}

    def _text(self) -> Schema:
        kind = self._draw.random()
        if kind < 0.35:
            return {"type": "string", "pattern": self._draw.choice(_PATTERNS)}
        if kind < 0.5:
            return {"type": "string", "format": self._draw.choice(_FORMATS)}
        return {"type": "string", "minLength": self._draw.randint(0, 3), "maxLength": self._draw.randint(4, 30)}

    def _integer(self) -> Schema:
        least = self._draw.randint(-100, 100)
        schema: Schema = {"type": "integer", "minimum": least, "maximum": least + self._draw.randint(1, 5000)}
        if self._draw.random() < 0.2:
            schema = {"type": "integer", "minimum": 0, "maximum": 1000, "multipleOf": self._draw.choice((2, 5, 10))}
        return schema

    def _number(self) -> Schema:
        least = self._draw.choice((0, -10, 0.5, 1))
        edge = self._draw.choice(("minimum", "exclusiveMinimum"))
        return {"type": "number", edge: least, "maximum": least + self._draw.choice((1, 99.5, 10_000))}

    def _choice(self) -> Schema:
        if self._draw.random() < 0.2:
            return {"const": self._draw.choice(_WORDS)}
        values: list[Any] = self._draw.sample(_WORDS, self._draw.randint(2, 5))
        return {"enum": [*values, self._draw.choice((None, True, 7, 2.5))] if self._draw.random() < 0.3 else values}

    def _other(self) -> Schema:
        return {"type": self._draw.choice(("boolean", "null", ["boolean", "null"], ["integer", "null"]))}
