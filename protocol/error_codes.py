"""The errors by their codes, as they come from the wire."""

from __future__ import annotations

from protocol.errors import EngineError, InternalError, Params


def _leaves(cls: type[EngineError]) -> list[type[EngineError]]:
    children = cls.__subclasses__()
    return [leaf for child in children for leaf in _leaves(child)] if children else [cls]


ERRORS_BY_CODE: dict[str, type[EngineError]] = {leaf.code: leaf for leaf in _leaves(EngineError)}


def error_from_wire(code: str, message: str, params: Params) -> EngineError:
    """The error a ``Failed`` message stands for; an unknown code becomes :class:`InternalError`."""
    cls = ERRORS_BY_CODE.get(code, InternalError)
    error = cls(message)
    error.params = dict(params)
    return error
