"""JSON Schemas with integers that the grammar library cannot hold, as Lark. Pure.

The library keeps numbers as doubles. What holds integers beyond 2**53 is written out here, down to patterns of digits;
all else is left to the library, as the ``%json`` of a rule.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from engine.grammar.number_range import NumberRange, NumberRangeError
from engine.grammar.schema_numbers import NUMERIC, SchemaError, fraction_of, is_large, is_number, number_range
from engine.grammar.schema_shape import require_shapes
from engine.grammar.schema_walk import ANNOTATIONS, DEFINITIONS, Node, at, subschemas, with_subschemas

_ARRAY: Final = ("items", "prefixItems", "minItems", "maxItems", "additionalItems")
_OBJECT: Final = (
    *("properties", "required", "additionalProperties"),
    *("patternProperties", "minProperties", "maxProperties"),
)
_TYPES: Final = ("null", "boolean", "string", "array", "object", "number")
_MOST_PARTS: Final = 50
_MOST_LEFT: Final = 1 << 20
"""Characters that are left to the library, before the limit of grammars is looked at."""
_KEY: Final = r'/"([^"\\\x00-\x1F\x7F]|\\[nrbtf\\"])*"/'
_ITEM: Final = '", "'
_COLON: Final = '": "'


def schema_rules(schema: Any, name: str, json_options: Mapping[str, Any]) -> list[str]:
    """Lark rules of which ``name`` is the schema's; all names begin with it. ``json_options`` are the library's, for
    the spacing that is written out here.

    Raises SchemaError.
    """
    try:
        return _Rules(schema, name, json_options).lines
    except RecursionError as error:
        raise SchemaError("its references are too many, one behind another") from error


class _Rules:
    def __init__(self, root: Any, name: str, json_options: Mapping[str, Any]) -> None:
        self._root, self._name, self._json_options = root, name, json_options
        self._referred: dict[str, str] = {}
        self._reached: set[str] = set()
        self._written = self._left = 0
        self.lines: list[str] = []
        require_shapes(root, "#")
        start = self._value(root, "#")
        if start is None:
            raise SchemaError("it allows nothing")
        self.lines.insert(0, f"{name}: {start}")

    def _value(self, node: Any, pointer: str) -> str | None:
        """An expression; ``None``: nothing is allowed."""
        if node is False:
            return None
        if not self._needs(node, pointer, set()):
            return self._left_to_library(node)
        keywords = node.keys() - ANNOTATIONS
        if keywords == {"$ref"}:
            return self._reference(node["$ref"], pointer)
        if "$ref" in keywords or "allOf" in keywords:
            return self._flat(self._all_of(node, pointer), pointer)
        if keywords & {"const", "enum"}:
            return self._values(node, pointer)
        for keyword in ("anyOf", "oneOf"):
            if keyword in keywords:
                return self._alternatives(node, keyword, pointer)
        return self._flat([node], pointer)

    def _needs(self, node: Any, pointer: str, seen: set[str]) -> bool:
        """Whether large numbers are in it, or in what it refers to."""
        if is_large(node):
            return True
        if isinstance(node, dict) and isinstance(node.get("$ref"), str) and node["$ref"] not in seen:
            seen.add(node["$ref"])
            if node["$ref"].startswith("#") and self._needs(self._at(node["$ref"], pointer), node["$ref"], seen):
                return True
        return any(
            self._needs(each, f"{pointer}/{path}", seen)
            for path, each in subschemas(node)
            if not path.startswith(DEFINITIONS)
        )

    def _at(self, reference: Any, pointer: str) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError(f"$ref {reference} at {pointer} is no part of this schema")
        try:
            found = at(reference, self._root)
        except (LookupError, TypeError) as error:
            raise SchemaError(f"$ref {reference} at {pointer} leads nowhere") from error
        if reference not in self._reached:
            require_shapes(found, reference)
            self._reached.add(reference)
        return found

    def _reference(self, reference: Any, pointer: str) -> str | None:
        target = self._at(reference, pointer)
        if target is False:
            return None
        if reference not in self._referred:
            self._referred[reference] = self._new("ref")
            written = self._value(target, reference)
            if written is None:
                raise SchemaError(f"{reference} allows nothing")
            self.lines.append(f"{self._referred[reference]}: {written}")
        return self._referred[reference]

    def _all_of(self, node: Node, pointer: str) -> list[Node]:
        """The flat schemas that are to hold together."""
        own = {name: value for name, value in node.items() if name not in ("$ref", "allOf")}
        parts: list[tuple[str, Any]] = []
        if "$ref" in node:
            parts.append((node["$ref"], self._at(node["$ref"], pointer)))
        parts += [(f"{pointer}/allOf/{index}", each) for index, each in enumerate(node.get("allOf", ()))]
        flat: list[Node] = [own]
        for where, part in parts:
            keywords = part.keys() - ANNOTATIONS if isinstance(part, dict) else set()
            if part is False or keywords & {"const", "enum", "anyOf", "oneOf", *_ARRAY, *_OBJECT}:
                raise self._refusal("they are", where)
            if len(flat) > _MOST_PARTS:
                raise SchemaError(f"more than {_MOST_PARTS} schemas are to hold together at {where}")
            flat += self._all_of(part, where) if keywords & {"$ref", "allOf"} else [part] if keywords else []
        if own.keys() - ANNOTATIONS & {"const", "enum", "anyOf", "oneOf", *_ARRAY, *_OBJECT}:
            raise self._refusal("they are", pointer)
        return flat

    def _values(self, node: Node, pointer: str) -> str | None:
        """Values of ``const`` and ``enum`` that the other keywords allow."""
        if node.keys() - ANNOTATIONS - {"const", "enum", "type", *NUMERIC}:
            raise self._refusal("const and enum are", pointer)
        values = node["enum"] if "enum" in node else [node["const"]]
        if "const" in node:
            values = [value for value in values if _same(value, node["const"])]
        span, types = number_range(node, pointer), _types(node)
        texts = [
            _literal(_json_text(value))
            for value in values
            if _type(value) in types and (not is_number(value) or span.holds(fraction_of(value)))
        ]
        return f"({' | '.join(texts)})" if texts else None

    def _alternatives(self, node: Node, keyword: str, pointer: str) -> str | None:
        if node.keys() - ANNOTATIONS != {keyword}:
            raise self._refusal(f"{keyword} is", pointer)
        if keyword == "oneOf":
            kinds = [kind for each in node[keyword] for kind in _types(each if isinstance(each, dict) else {})]
            if len(kinds) != len(set(kinds)):
                raise SchemaError(
                    f"integers beyond 2^53 are held in a oneOf whose options have types of their own; at {pointer} "
                    "they have not"
                )
        options = [self._value(each, f"{pointer}/{keyword}/{index}") for index, each in enumerate(node[keyword])]
        allowed = [option for option in options if option is not None]
        return f"({' | '.join(allowed)})" if allowed else None

    def _flat(self, parts: Sequence[Node], pointer: str) -> str | None:
        """Each type for itself, where the parts say of it what is written out here."""
        types = [kind for kind in _types(parts[0]) if all(kind in _types(part) for part in parts)]
        options: list[str | None] = []
        if "number" in types:
            options.append(self._number(parts, pointer))
        rest = [kind for kind in types if kind != "number"]
        node = parts[0] if len(parts) == 1 else {}
        for kind, keywords, write in (("array", _ARRAY, self._array), ("object", _OBJECT, self._object)):
            own = {name: node[name] for name in keywords if name in node}
            if kind in rest and self._needs(own, pointer, set()):
                rest.remove(kind)
                options.append(write(node, pointer))
        if rest:
            plain = [{name: value for name, value in part.items() if name not in NUMERIC} for part in parts]
            merged = plain[0] if len(plain) == 1 else {"allOf": plain}
            options.append(self._left_to_library({**merged, "type": rest}))
        allowed = [option for option in options if option is not None]
        return f"({' | '.join(allowed)})" if allowed else None

    def _number(self, parts: Sequence[Node], pointer: str) -> str | None:
        span = NumberRange()
        for part in parts:
            span &= number_range(part, pointer)
        if span.empty:
            return None
        try:
            patterns = span.patterns()
        except NumberRangeError as error:
            raise SchemaError(f"{error} (at {pointer})") from error
        name = self._new("number").upper()
        self.lines.append(f"{name}: " + " & ".join(f"/{pattern}/" for pattern in patterns))
        return name

    def _array(self, node: Node, pointer: str) -> str | None:
        prefix, items = node.get("prefixItems", []), node.get("items", True)
        if isinstance(items, list):  # as drafts before 2020-12 had it
            prefix, items = items, node.get("additionalItems", True)
        least, most = _count(node, "minItems", pointer) or 0, _count(node, "maxItems", pointer)
        if most is not None and most < least:
            return None
        places = len(prefix) if most is None else min(len(prefix), most)
        written = [self._value(prefix[index], f"{pointer}/prefixItems/{index}") for index in range(places)]
        if None in written:
            most = places = written.index(None)
        each = self._value(items, f"{pointer}/items") if most is None or most > places else None
        if each is None:
            most = places
        if most is not None and most < least:
            return None
        tail = "" if each is None else self._repeat(each, max(0, least - places), most, places)
        for index in reversed(range(places)):
            one = f"{_ITEM if index else ''} {written[index]} {tail}"
            tail = one if index < least else f"({one})?"
        return f'"[" {tail} "]"'

    def _repeat(self, each: str, least: int, most: int | None, places: int) -> str:
        upper = "" if most is None else most - places
        if places:
            return f"({_ITEM} {each}){{{least},{upper}}}"
        more = f"({_ITEM} {each}){{{max(0, least - 1)},{upper and int(upper) - 1}}}"
        return f"{each} {more}" if least else f"({each} {more})?"

    def _object(self, node: Node, pointer: str) -> str | None:
        if node.keys() & {"patternProperties", "minProperties", "maxProperties"}:
            raise self._refusal("patternProperties, minProperties and maxProperties are", pointer)
        properties, additional = dict(node.get("properties", {})), node.get("additionalProperties", True)
        required = node.get("required", [])
        properties |= {name: additional for name in required if name not in properties}
        members: list[tuple[str, bool]] = []
        for name, each in properties.items():
            value = self._value(each, f"{pointer}/properties/{name}")
            if value is None and name in required:
                return None
            if value is not None:
                members.append((f"{_literal(_json_text(name))} {_COLON} {value}", name in required))
        other = self._value(additional, f"{pointer}/additionalProperties")
        if other is not None:
            key = self._new("key").upper()
            taken = " | ".join(_literal(_json_text(name)) for name in properties)
            self.lines.append(f"{key}: {_KEY}" + (f" & ~({taken})" if taken else ""))
            other = f"{key} {_COLON} {other}"
        return f'"{{" {self._members(members, other)} "}}"'

    def _members(self, members: Sequence[tuple[str, bool]], other: str | None) -> str:
        """Those from one on, as the first of an object and behind others: a rule for each."""
        first = more = self._new("members")
        self.lines.append(f"{more}: " + ("" if other is None else f"({_ITEM} {other})*"))
        if other is not None:
            first = self._new("members")
            self.lines.append(f"{first}: ({other} {more})?")
        for member, required in reversed(members):
            first_here, more_here = self._new("members"), self._new("members")
            skipped = "" if required else f" | {first}"
            self.lines.append(f"{first_here}: {member} {more}{skipped}")
            one = f"{_ITEM} {member}" if required else f"({_ITEM} {member})?"
            self.lines.append(f"{more_here}: {one} {more}")
            first, more = first_here, more_here
        return first

    def _left_to_library(self, node: Any) -> str:
        """With all that it refers to."""
        definitions: dict[str, Any] = {}
        names: dict[str, str] = {}

        def moved(part: Any) -> Any:
            if not isinstance(part, dict):
                return part
            part = {name: value for name, value in part.items() if name not in ("$defs", "definitions", "x-guidance")}
            reference = part.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                if reference not in names:
                    names[reference] = str(len(names))
                    definitions[names[reference]] = moved(self._at(reference, "#"))
                part["$ref"] = f"#/$defs/{names[reference]}"
            return with_subschemas(part, moved)

        written = moved(node) if isinstance(node, dict) else {}
        if definitions:
            written["$defs"] = definitions
        name = self._new("json")
        text = json.dumps({"x-guidance": self._json_options, **written}, separators=(",", ":"))
        self._left += len(text)
        if self._left > _MOST_LEFT:
            raise SchemaError("its definitions are too large for integers beyond 2^53 beside them")
        self.lines.append(f"{name}: %json {text}")
        return name

    def _new(self, kind: str) -> str:
        self._written += 1
        return f"{self._name}_{kind}_{self._written}"

    def _refusal(self, what: str, pointer: str) -> SchemaError:
        return SchemaError(
            f"integers beyond 2^53 are held, but not where {what} combined with other keywords, as at {pointer}"
        )


def _types(node: Any) -> list[str]:
    declared = node.get("type", _TYPES) if isinstance(node, dict) else _TYPES
    listed = [declared] if isinstance(declared, str) else declared
    return list(dict.fromkeys("number" if kind == "integer" else kind for kind in listed))


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return "number"


def _same(one: Any, other: Any) -> bool:
    return _type(one) == _type(other) and bool(one == other)


def _count(node: Node, keyword: str, pointer: str) -> int | None:
    value = node.get(keyword)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise SchemaError(f"{keyword} at {pointer} is no count")
    return value


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _literal(text: str) -> str:
    return json.dumps(text)
