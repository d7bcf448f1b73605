"""The bases of what a dialect reads and writes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, from_json

from protocol.codec import invalid_request
from protocol.errors import InvalidRequest
from protocol.unpacking import REQUEST_BOUNDS
from protocol.value import set_on_sequences

Read = TypeVar("Read", bound=BaseModel)


class Asked(BaseModel):
    """What a client of another server sends. Fields that the dialect does not know are ignored, as its servers do."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True, protected_namespaces=()
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A schema by which the first wrong element of a sequence is told and no other, as in the engine's values."""
        schema = handler(source)
        set_on_sequences(schema, cls, fail_fast=True)
        return schema


class Told(BaseModel):
    """What the engine answers. Fields that are not set are left out; those set to ``None`` are ``null``."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, protected_namespaces=())

    def json_bytes(self) -> bytes:
        """The answer as it is sent."""
        return _on_one_line(self.model_dump_json(exclude_unset=True, by_alias=True))


def parse_json(body: bytes | bytearray) -> dict[str, Any]:
    """The object that a body holds, whatever its Content-Type says.

    Raises:
        InvalidRequest: it is no JSON, nested too deeply, of more values than a request may hold, no object, or says
            one thing twice.
    """
    _require_bounded(body)
    try:
        content = from_json(body or b"{}", allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(f"the body is no JSON: {error}", field="body", reason=str(error)) from error
    if not isinstance(content, dict):
        raise InvalidRequest("the body must be a JSON object", field="body", reason="not an object")
    # The parser above keeps the last of two and says nothing. Numbers are left as they are written.
    json.loads(body or b"{}", object_pairs_hook=_said_once, parse_int=str, parse_float=str)
    return content


def _said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's content. Raises InvalidRequest where it has a name twice: readers differ in which counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        counted = Counter(name for name, _ in pairs)
        name = counted.most_common(1)[0][0][:80]
        raise InvalidRequest(f"{name!r} is said twice in one object of the body", field=name, reason="said twice")
    return content


def _require_bounded(body: bytes | bytearray) -> None:
    """The most that a frame of the socket may hold, whatever the size: each value takes far more than its bytes."""
    bounds = REQUEST_BOUNDS
    elements, parts = _values(body)
    if elements > bounds.elements or parts > bounds.parts:  # texts may look like many values
        elements, parts = _values(_without_texts(body, bounds.parts))
    if elements > bounds.elements or parts > bounds.parts:
        reason = f"more than {bounds.elements} values, or than {bounds.parts} strings, arrays and objects among them"
        raise InvalidRequest(f"the body holds {reason}", field="body", reason=reason)


def _without_texts(body: bytes | bytearray, strings: int) -> bytes | bytearray:
    """JSON with empty strings alone, or as it is where it has more than so many. A regular expression would let no
    other thread run for half a second."""
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return body if plain.count(b'"') // 2 > strings else b'""'.join(plain.split(b'"')[::2])


def _values(body: bytes | bytearray) -> tuple[int, int]:
    """How many values JSON holds, and how many of them are strings or containers, names included; perhaps fewer."""
    parts = body.count(b'"') // 2 + body.count(b"[") + body.count(b"{")
    return body.count(b",") + body.count(b":"), parts


def read(kind: type[Read], content: Mapping[str, Any]) -> Read:
    """The content in the dialect's shape. Raises InvalidRequest, which names the field."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise invalid_request(error) from error


def merged(content: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The content with what is said of its own instead; objects in both are merged likewise."""
    both = dict(content)
    for name, value in own.items():
        before = both.get(name)
        both[name] = merged(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return both


def to_json(content: Any) -> bytes:
    """JSON on one line, in UTF-8."""
    return _on_one_line(json.dumps(content, ensure_ascii=False, separators=(",", ":")))


def json_in_pieces(content: Any) -> bytes:
    """The same, so that other threads have their turns meanwhile: Python's fast encoder lets them wait for its end."""
    pieces = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).iterencode(content)
    return b"".join(_on_one_line("".join(some)) for some in iter(lambda: list(islice(pieces, _PIECES)), []))


_PIECES = 4096
"""Parts of a few characters that are put together at a time."""
_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
"""What JSON leaves as it is, and clients that cut a stream into lines by Unicode's rules take for the end of one."""


def _on_one_line(text: str) -> bytes:
    return text.translate(_LINE_ENDS).encode()
