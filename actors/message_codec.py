"""Messages between actors as msgpack: what every one of them needs to reach an actor in another process.

A message is an array: its class's name, then its fields in their order. A dataclass inside it is an array of fields, a
value of the protocol a map as on the wire. How to read one follows from the annotations, once for each class; a class
with a field that could not cross, such as a callable, an event or an array of numpy, is refused when the codec is made.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import partial
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Final, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgpack

from protocol.value import Value

Message = TypeVar("Message")
Read = Callable[[Any], Any]
"""From what msgpack unpacked to the value of one annotation. Raises ValueError."""

_SURROGATES: Final = "surrogatepass"
"""A text arrives as it was sent, even one that UTF-8 has no place for."""


class MessageCodec(Generic[Message]):
    """Encodes and decodes the messages of a closed union of dataclasses."""

    def __init__(self, union: Any) -> None:
        """Raises TypeError if a message of the union holds what could not cross into another process."""
        self._readers = {cls.__name__: _dataclass(cls) for cls in get_args(union)}

    def encode(self, message: Message) -> bytes:
        """Raises TypeError for a value that is not what its annotation says, if msgpack has no form for it."""
        fields = (type(message).__name__, *_fields(message))
        packed: bytes = msgpack.packb(fields, default=_packable, unicode_errors=_SURROGATES)
        return packed

    def decode(self, frame: bytes) -> Message:
        """Raises ValueError: the frame is no message of the union, or a field is not what its annotation says."""
        try:
            name, *fields = msgpack.unpackb(frame, use_list=False, unicode_errors=_SURROGATES)
        except (TypeError, ValueError, msgpack.UnpackException) as error:
            raise ValueError(f"the frame is no message: {error}") from error
        read = self._readers.get(name) if isinstance(name, str) else None
        if read is None:
            raise ValueError(f"there is no message {name!r} between actors")
        message: Message = read(tuple(fields))
        return message


def reader_of(annotation: Any) -> Read:
    """How to read a value of this type. Raises TypeError if it could not cross into another process."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS:
        return partial(_scalar, _SCALARS[annotation])
    if annotation is Any:
        return _as_it_is
    if annotation is datetime:
        return _moment
    if origin is Literal:
        return partial(_one_of, arguments)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple and arguments[1:] == (...,):
        return partial(_tuple, reader_of(arguments[0]))
    if origin in (dict, Mapping):
        return partial(_mapping, reader_of(arguments[0]), reader_of(arguments[1]))
    cls = origin or annotation
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, arguments)
    if isinstance(cls, type) and issubclass(cls, Value):
        return cls.model_validate
    raise TypeError(f"{annotation} cannot cross into another process")


def _dataclass(cls: Any, arguments: tuple[Any, ...] = ()) -> Read:
    """``arguments`` stand for the parameters of a generic one."""
    parameters = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=True))
    hints = get_type_hints(cls)
    readers = {field.name: reader_of(_substituted(hints[field.name], parameters)) for field in dataclasses.fields(cls)}

    def read(fields: Any) -> Any:
        if not isinstance(fields, tuple) or len(fields) != len(readers):
            raise ValueError(f"{cls.__name__} has {len(readers)} fields, not {fields!r:.80}")
        return cls(**{name: reader(value) for (name, reader), value in zip(readers.items(), fields, strict=True)})

    return read


def _substituted(annotation: Any, parameters: Mapping[Any, Any]) -> Any:
    inner = getattr(annotation, "__parameters__", ())
    if annotation in parameters:
        return parameters[annotation]
    return annotation[tuple(parameters[one] for one in inner)] if inner else annotation


def _union(members: tuple[Any, ...]) -> Read:
    """One type or nothing, or messages of the protocol, which name their types."""
    others = [one for one in members if one is not NoneType]
    if len(others) == 1:
        return partial(_optional, reader_of(others[0]))
    if not all(isinstance(one, type) and issubclass(one, Value) and "type" in one.model_fields for one in others):
        raise TypeError(f"values of {' | '.join(map(str, members))} could not be told apart in another process")
    kinds = {one.__name__: one for one in others}

    def read(content: Any) -> Any:
        kind = kinds.get(content.get("type")) if isinstance(content, dict) else None
        if kind is None:
            raise ValueError(f"no message of the protocol: {content!r:.80}")
        return kind.model_validate(content)

    return read


def _moment(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} is no moment")  # noqa: TRY004
    return datetime.fromisoformat(value)


def _as_it_is(value: Any) -> Any:
    return value


def _scalar(types: tuple[type, ...], value: Any) -> Any:
    if type(value) not in types:
        raise ValueError(f"{value!r:.80} is no {types[0].__name__}")
    return value


def _one_of(values: tuple[Any, ...], value: Any) -> Any:
    if value not in values:
        raise ValueError(f"{value!r:.80} is none of {values}")
    return value


def _optional(read: Read, value: Any) -> Any:
    return None if value is None else read(value)


def _tuple(read: Read, value: Any) -> Any:
    if not isinstance(value, tuple):
        raise ValueError(f"{value!r:.80} is no array")  # noqa: TRY004  one error for all that does not fit
    return tuple(map(read, value))


def _mapping(read_key: Read, read: Read, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.80} is no map")  # noqa: TRY004
    return {read_key(key): read(one) for key, one in value.items()}


_SCALARS: Final[dict[Any, tuple[type, ...]]] = {
    int: (int,),
    float: (float, int),
    str: (str,),
    bool: (bool,),
    NoneType: (NoneType,),
}
"""The types that a value may have; an integer serves as a float, as for mypy."""


def _packable(value: object) -> object:
    if isinstance(value, Value):
        return value.wire_fields()
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return _fields(value)
    raise TypeError(f"{value!r:.80} cannot cross into another process")


def _fields(value: object) -> tuple[Any, ...]:
    getter = _getters.get(type(value))
    if getter is None:
        getter = _getters[type(value)] = _getter(type(value))
    return getter(value)


def _getter(cls: Any) -> Callable[[object], tuple[Any, ...]]:
    names = [field.name for field in dataclasses.fields(cls)]
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: tuple(getattr(value, name) for name in names)


_getters: dict[type, Callable[[object], tuple[Any, ...]]] = {}
