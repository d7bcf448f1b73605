"""Messages to msgpack maps and back. Decoding trusts nothing; encoding trusts the types."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

import msgpack
import msgspec
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from protocol.answers import EngineMessage, Failed, Tokens
from protocol.errors import EngineError, InvalidRequest, UnknownMessage
from protocol.panic import PanicError, panics_contained
from protocol.plan import PLAN_FORMS
from protocol.requests import ClientMessage
from protocol.unpacking import MAX_ARRAY_ELEMENTS, unpack, unpack_answer
from protocol.value import Value, unvalidated

_CLIENT_TYPES: dict[str, type[BaseModel]] = {cls.__name__: cls for cls in get_args(ClientMessage)}
_ENGINE_TYPES: dict[str, type[BaseModel]] = {cls.__name__: cls for cls in get_args(EngineMessage)}
UnknownFields = Literal["ignore", "forbid"]
"""Requests for what this engine does not know are refused; answers of a later one are read as far as they are known."""
_MAX_REPORTED = 5
"""Faults named in one error: enough to mend a request, too few to echo a hostile one."""

_TOKENS_TYPE = b"\xa4type\xa6Tokens"
_TOKENS_BEGIN = 48
"""The bytes in which an engine has written it: first, or behind the request's id."""


class _PlainTokens(msgspec.Struct, frozen=True, tag_field="type", tag="Tokens"):
    """The fields of ``Tokens`` without log probabilities and calls."""

    request_id: Annotated[int, msgspec.Meta(ge=0)]
    execution_id: str
    token_ids: Annotated[tuple[int, ...], msgspec.Meta(max_length=MAX_ARRAY_ELEMENTS)]
    text: str
    choice: int = 0
    reasoning: str = ""
    tool_calls: tuple[()] = ()
    logprobs: tuple[()] = ()


_plain_tokens = msgspec.msgpack.Decoder(_PlainTokens)
_tokens = unvalidated(Tokens)


def encode(message: Value) -> bytes:
    """The message as a msgpack map. What msgpack cannot hold in an ``Any`` field is sent as its text."""
    packed: bytes = msgpack.packb(message.__dict__, default=packable, unicode_errors="backslashreplace")
    return packed


def encode_request(message: Value) -> bytes:
    """A client's message as a msgpack map. Raises InvalidRequest: a text is no Unicode; nothing takes its place."""
    try:
        packed: bytes = msgpack.packb(message.__dict__, default=_packable_request)
    except UnicodeEncodeError as error:
        code, field = ord(error.object[error.start]), _field_of(message, error.object)
        raise InvalidRequest(
            f"{field or 'the text'} is no Unicode: U+{code:04X} at character {error.start} is half of a pair, or "
            "stands for a byte that is no UTF-8",
            field=field,
            offset=error.start,
        ) from error
    return packed


def _field_of(message: Value, text: str) -> str:
    """Dotted path of the first field that holds just this text; empty where none does."""
    ahead: list[tuple[str, Any]] = [("", message)]
    while ahead:
        path, value = ahead.pop()
        if value is text or value == text:
            return path
        if isinstance(value, BaseModel):
            value = value.__dict__
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        ahead += reversed([(f"{path}.{name}".lstrip("."), each) for name, each in items])
    return ""


def decode_client(payload: bytes) -> ClientMessage:
    """The client's message in a frame. Raises BadFrame, UnknownMessage, InvalidRequest."""
    return client_message(unpack(payload))


def decode_engine(payload: bytes) -> EngineMessage:
    """The engine's message in a frame, without fields that only a later engine has.

    Raises BadFrame, UnknownMessage, InvalidRequest.
    """
    if payload.find(_TOKENS_TYPE, 1, _TOKENS_BEGIN) > 0 and (tokens := _decode_tokens(payload)) is not None:
        return tokens
    content = unpack_answer(payload)
    return _message(content, _ENGINE_TYPES, "ignore")  # type: ignore[return-value]  # the table holds that union only


def client_message(content: dict[str, Any]) -> ClientMessage:
    """The message that an unpacked map stands for.

    Raises:
        UnknownMessage: ``type`` is missing or not one of this protocol version.
        InvalidRequest: a field is unknown, missing, of a wrong type or out of range; ``params`` hold the dotted
            ``field``, the ``reason``, and the ``allowed`` values where they can be listed.
    """
    return _message(content, _CLIENT_TYPES, "forbid")  # type: ignore[return-value]  # the table holds that union only


def request_id_of(content: dict[str, Any]) -> int | None:
    """The request id of a map that need not be a valid message, so that its refusal can be addressed."""
    request_id = content.get("request_id")
    return request_id if type(request_id) is int and 0 <= request_id < 2**63 else None


def failed(request_id: int | None, error: EngineError) -> Failed:
    """The message that carries an error to the client."""
    return Failed(request_id=request_id, code=error.code, message=error.message, params=error.params)


def _decode_tokens(payload: bytes) -> Tokens | None:
    """The message that comes dozens of times a second for each stream, checked and decoded in one pass.

    ``None`` where it holds log probabilities or calls, or is wrong in a way that the general decoder can name.
    """
    try:
        plain = _plain_tokens.decode(payload)
    except msgspec.MsgspecError:
        return None
    return _tokens(
        request_id=plain.request_id,
        execution_id=plain.execution_id,
        choice=plain.choice,
        token_ids=plain.token_ids,
        text=plain.text,
        reasoning=plain.reasoning,
    )


def packable(value: object) -> object:
    """What msgpack is to hold in place of what it cannot."""
    # A model's fields as they are: pydantic's own serializer would first copy the whole message.
    return value.wire_fields() if isinstance(value, Value) else str(value)


def _packable_request(value: object) -> object:
    if isinstance(value, int):
        reason = "an integer of more than 64 bits has no place here"
        raise InvalidRequest(f"{reason}: {str(value)[:40]}", reason=reason)
    return packable(value)


def _message(content: dict[str, Any], types: dict[str, type[BaseModel]], unknown_fields: UnknownFields) -> BaseModel:
    name = content.get("type")
    cls = types.get(name) if isinstance(name, str) else None
    if cls is None:
        raise UnknownMessage(f"there is no message of type {_shown(name)}", allowed=sorted(types))
    try:
        return _validate(cls, content, unknown_fields)
    except ValidationError as error:
        raise invalid_request(error) from error
    except PanicError as panic:
        raise InvalidRequest(f"{name} cannot be read: {panic}", reason=str(panic)) from panic


@panics_contained
def _validate(cls: type[BaseModel], content: dict[str, Any], unknown_fields: UnknownFields) -> BaseModel:
    return cls.model_validate(content, extra=unknown_fields)


def invalid_request(error: ValidationError) -> InvalidRequest:
    """The refusal that names the fields at fault; ``params`` as :func:`client_message` says."""
    details = _told(error.errors(include_url=False, include_context=True))
    first = details[0]
    params: dict[str, Any] = {"field": _field(first), "reason": first["msg"]}
    if "expected" in first.get("ctx", {}):
        params["allowed"] = first["ctx"]["expected"]
    faults = "; ".join(f"{_field(detail)}: {detail['msg']}{_given(detail)}" for detail in details[:_MAX_REPORTED])
    unnamed = len(details) - _MAX_REPORTED
    return InvalidRequest(faults + (f"; and {unnamed} more" if unnamed > 0 else ""), **params)


def _told(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow: a list whose items are all refused is not too short for another reason."""
    places = [detail["loc"] for detail in details]
    return [detail for detail in details if not (detail["type"] == "too_short" and _holds(detail["loc"], places))]


def _holds(place: tuple[int | str, ...], others: list[tuple[int | str, ...]]) -> bool:
    return any(len(other) > len(place) and other[: len(place)] == place for other in others)


def _field(detail: ErrorDetails) -> str:
    """Its path as a client wrote it, without pydantic's word for which form of a plan it tried."""
    *groups, last = detail["loc"] or ("request",)
    parts = [part for part in groups if part not in PLAN_FORMS]
    if last not in PLAN_FORMS or detail["type"] == "extra_forbidden":
        parts.append(last)
    return ".".join(_clipped(str(part)) for part in parts)


def _given(detail: ErrorDetails) -> str:
    value = detail["input"]
    return f" (got {_shown(value)})" if isinstance(value, str | int | float | None) else ""


def _shown(value: object) -> str:
    return _clipped(repr(value))


def _clipped(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."
